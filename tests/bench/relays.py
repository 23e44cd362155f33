"""Our gateway compared with the Starlette one: raw WebSockets in front of them, the same gRPC server behind them."""

import json
from collections.abc import Collection
from contextlib import ExitStack
from typing import Final

from tests.bench.figures import Contender, Figures, Plan, contest, timed
from tests.bench.gateways import BACKEND, GATEWAYS, ROUTE
from tests.bench.processes import LOAD_CORES, child
from tests.bench.raw_socket import RunFailed
from tests.bench.raw_websocket import RawWebSocket

RELAYED: Final = "relayed message"
PING_PONG: Final = "ping-pong on a WebSocket"
LOADS: Final = (RELAYED, PING_PONG)

TEXT: Final = "a message of fair length"
MESSAGE: Final = json.dumps({"stream_id": "bench", "message": TEXT}, separators=(",", ":"))


def measure(plan: Plan, what: Collection[str] = LOADS, names: Collection[str] = tuple(GATEWAYS)) -> Figures:
    """Every gateway under both loads. The backend shares the load's cores: what it costs is not the gateway's."""
    with ExitStack() as stack:
        backend = stack.enter_context(child("tests.bench.gateways", BACKEND, cores=LOAD_CORES))
        contenders = []
        for name in names:
            gateway = stack.enter_context(child("tests.bench.gateways", name, str(backend.port)))
            websocket = stack.enter_context(RawWebSocket(gateway.port, ROUTE, MESSAGE))
            stack.callback(websocket.finish)
            check(websocket)
            loads = {RELAYED: timed(websocket.pour), PING_PONG: timed(websocket.ping_pong)}
            chosen = {load: run for load, run in loads.items() if load in what}
            contenders.append(Contender(name, gateway.cpu_ns, chosen))
        return contest(contenders, plan)


def check(websocket: RawWebSocket) -> None:
    """What comes back is the message, or the backend's answer to it."""
    answer = json.loads(websocket.exchange())
    words = answer.get("response", answer.get("message"))
    if answer["stream_id"] != "bench" or words not in (TEXT, f"from server: {TEXT}"):
        raise RunFailed(f"not what an echo says: {answer}")
