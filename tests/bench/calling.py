"""Our client compared with Python's other gRPC clients, all calling our server; the clients have the first core."""

import json
from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from typing import Final

from tests.bench.clients import CLIENTS
from tests.bench.figures import Contender, Figures, Plan, Work, contest
from tests.bench.processes import LOAD_CORES, Child, child

STREAMED: Final = "streamed message"
PING_PONG: Final = "ping-pong on a stream"
UNARY: Final = "unary call"

ORDERS: Final = {STREAMED: "stream", PING_PONG: "ping-pong", UNARY: "unary"}


def measure(plan: Plan, names: Collection[str] = tuple(CLIENTS), what: Collection[str] = tuple(ORDERS)) -> Figures:
    """Every client with every task; "load" in the figures is the server that they call."""
    with ExitStack() as stack:
        server = stack.enter_context(child("tests.bench.peers", "echo", cores=LOAD_CORES))
        contenders = []
        for name in names:
            client = stack.enter_context(child("tests.bench.clients", name, str(server.port)))
            loads = {load: partial(give, order, client, server) for load, order in ORDERS.items() if load in what}
            contenders.append(Contender(name, client.cpu_ns, loads))
        return contest(contenders, plan)


def give(order: str, client: Child, server: Child, items: int) -> Work:
    """Have a client do something, and wait until it has."""
    before = server.cpu_ns()
    latencies: list[int] = json.loads(client.order(f"{order} {items}"))
    return Work(server.cpu_ns() - before, latencies)
