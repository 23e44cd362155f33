"""What telemetry costs: our server without and with it, under the same loads. ``python -m tests.bench.telemetry NAME``
runs one of them and prints its port.
"""

import sys
from collections.abc import Collection
from contextlib import ExitStack
from typing import Final

import anyio
from anyio.abc import SocketAttribute

from echo.rpc import Server, open_tcp_listener
from echo.services import echo_services
from echo.telemetry.meters import Meters
from tests.bench import peers, servers
from tests.bench.figures import Contender, Figures, Plan, contest
from tests.bench.processes import child
from tests.bench.results import OURS

STREAMED: Final = "streamed message, with and without metrics"
UNARY: Final = "unary call, with and without metrics"
LOADS: Final = {STREAMED: servers.STREAMED, UNARY: servers.UNARY}

METRICS: Final = f"{OURS} with metrics"


async def with_metrics() -> None:
    """Ours, counting."""
    meter = Meters("bench").for_server()
    server = Server(echo_services().services, notes=[meter])
    meter.watch(server)
    async with anyio.create_task_group() as nursery:
        listener = await open_tcp_listener(peers.LOOPBACK, 0)
        await nursery.start(server.serve, listener)
        print(listener.extra(SocketAttribute.local_port), flush=True)


PEERS: Final = {OURS: peers.echo, METRICS: with_metrics}


def measure(plan: Plan, what: Collection[str] = tuple(LOADS)) -> Figures:
    """Both under both loads."""
    with ExitStack() as stack:
        contenders = []
        for name in PEERS:
            server = stack.enter_context(child("tests.bench.telemetry", name))
            loads = servers.loads(server, stack)
            contenders.append(Contender(name, server.cpu_ns, {load: loads[LOADS[load]] for load in what}))
        return contest(contenders, plan)


if __name__ == "__main__":
    anyio.run(PEERS[sys.argv[1]], backend="trio")
