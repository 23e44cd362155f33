"""What telemetry costs: our server without and with it, under the same loads.

``python -m tests.bench.telemetry NAME PORT`` runs one of the servers, and prints where it listens. It sends its spans
to the collector on that port; without PORT, the NAME is that of the collector itself.
"""

import socketserver
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Final

import anyio
from anyio.abc import SocketAttribute
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from echo.rpc import Server, open_tcp_listener
from echo.services import echo_services
from echo.telemetry.meters import Meters
from echo.telemetry.tracing.environment import read_environment
from echo.telemetry.tracing.program import Tracing, run
from tests.bench import peers, servers
from tests.bench.figures import Contender, Figures, Plan, contest, progress
from tests.bench.processes import LOAD_CORES, child
from tests.bench.results import OURS

STREAMED: Final = "streamed message, with and without telemetry"
UNARY: Final = "unary call, with and without telemetry"
MESH: Final = "unary call with deadline, request id and traceparent, with and without telemetry"
LOADS: Final = {STREAMED: servers.STREAMED, UNARY: servers.UNARY, MESH: servers.UNARY_MESH}

METRICS: Final = f"{OURS} with metrics"
TRACES: Final = f"{OURS} with sampled traces"
BOTH: Final = f"{OURS} with metrics and sampled traces"
TELLING: Final = (METRICS, TRACES, BOTH)
TRACED: Final = (TRACES, BOTH)
COLLECTOR: Final = "collector"

LOST: Final = 0.01  # The share of spans that may be lost: one that is dropped costs less.
WAITING: Final = 512  # Spans that a server may keep for the next batch.


async def serve(collector: int, *, metrics: bool, traces: bool) -> None:
    """Ours, telling what it is asked to tell."""
    async with tracing(collector if traces else None) as traced:
        meter = Meters("bench").for_server() if metrics else None
        server = Server(
            echo_services().services,
            notes=[] if meter is None else [meter],
            tracing=None if traced is None else traced.server,
        )
        if meter is not None:
            meter.watch(server)
        async with anyio.create_task_group() as nursery:
            listener = await open_tcp_listener(peers.LOOPBACK, 0)
            await nursery.start(server.serve, listener)
            print(listener.extra(SocketAttribute.local_port), flush=True)


@asynccontextmanager
async def tracing(collector: int | None) -> AsyncIterator[Tracing | None]:
    """What traces, with all the defaults, to the collector on this port; None without one."""
    asked = (
        None
        if collector is None
        else read_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{peers.LOOPBACK}:{collector}"})
    )
    if asked is None:
        yield None
    else:
        async with run(asked, 1.0) as traced:
            yield traced


PEERS: Final[dict[str, Callable[[int], Awaitable[None]]]] = {
    OURS: partial(serve, metrics=False, traces=False),
    METRICS: partial(serve, metrics=True, traces=False),
    TRACES: partial(serve, metrics=False, traces=True),
    BOTH: partial(serve, metrics=True, traces=True),
}


class Counter(socketserver.StreamRequestHandler):
    """Takes spans by OTLP over HTTP, and counts them."""

    spans = 0

    def handle(self) -> None:
        """Answer requests until the connection ends."""
        while head := list(iter(lambda: self.rfile.readline().rstrip().lower(), b"")):
            size = next(int(line.partition(b":")[2]) for line in head if line.startswith(b"content-length:"))
            request = ExportTraceServiceRequest.FromString(self.rfile.read(size))
            Counter.spans += len(request.resource_spans[0].scope_spans[0].spans)
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def collect() -> None:
    """A collector of traces, which answers every line of its input with how many spans came."""
    with socketserver.ThreadingTCPServer((peers.LOOPBACK, 0), Counter) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        for _ in sys.stdin:
            print(Counter.spans, flush=True)


def measure(plan: Plan, what: Collection[str] = tuple(LOADS)) -> Figures:
    """All of them under all loads."""
    with ExitStack() as stack:
        collector = stack.enter_context(child("tests.bench.telemetry", COLLECTOR, cores=LOAD_CORES))
        contenders = []
        for name in PEERS:
            server = stack.enter_context(child("tests.bench.telemetry", name, str(collector.port)))
            loads = servers.loads(server, stack)
            contenders.append(Contender(name, server.cpu_ns, {load: loads[LOADS[load]] for load in what}))
        figures = contest(contenders, plan)
        calls = sum(
            plan.rounds * contender.sizes[load]
            for contender in contenders
            for load in what
            if contender.name in TRACED and load != STREAMED
        )
        lost = calls - int(collector.order("spans")) - len(TRACED) * WAITING
        if lost > LOST * calls:
            progress(f"traces cost more than these figures say: {lost} of {calls} spans were lost")
        return figures


if __name__ == "__main__":
    if sys.argv[1] == COLLECTOR:
        collect()
    else:
        anyio.run(PEERS[sys.argv[1]], int(sys.argv[2]), backend="trio")
