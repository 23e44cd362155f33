"""Collectors of traces: one in memory, and a small one that speaks OTLP over HTTP."""

import gzip
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import h11
import trio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from echo.telemetry.tracing.environment import read_environment
from echo.telemetry.tracing.program import Tracing, run
from tests.support.serving import LOOPBACK

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


@dataclass(frozen=True)
class Seen:
    """A span as a collector sees it."""

    span: trace_pb2.Span

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def kind(self) -> str:
        return trace_pb2.Span.SpanKind.Name(self.span.kind).removeprefix("SPAN_KIND_").lower()

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()

    @property
    def id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def attributes(self) -> dict[str, object]:
        return {pair.key: value_of(pair.value) for pair in self.span.attributes}

    @property
    def events(self) -> list[str]:
        """The span's events, with their causes."""
        found = []
        for event in self.span.events:
            assert self.span.start_time_unix_nano <= event.time_unix_nano <= self.span.end_time_unix_nano
            causes = [str(value_of(pair.value)) for pair in event.attributes]
            found.append(": ".join([event.name, *causes]))
        return found

    @property
    def failed(self) -> bool:
        return self.span.status.code == trace_pb2.Status.STATUS_CODE_ERROR


def value_of(value: AnyValue) -> object:
    if value.HasField("array_value"):
        return [value_of(item) for item in value.array_value.values]
    return getattr(value, str(value.WhichOneof("value")))


class Collector:
    """Keeps spans in memory. Pass ``send`` to whatever exports them."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self._grown = trio.Event()

    async def send(self, groups: Sequence[bytes]) -> None:
        self.take(iter(trace_pb2.ScopeSpans.FromString(b"".join(groups)).spans))

    def take(self, spans: Iterator[trace_pb2.Span]) -> None:
        self.spans += map(Seen, spans)
        self._grown.set()
        self._grown = trio.Event()

    async def until(self, number: int) -> None:
        """Wait until there are this many spans."""
        with trio.fail_after(20):
            while len(self.spans) < number:
                await self._grown.wait()

    def one(self, kind: str, name: str = "") -> Seen:
        """The only span of this kind with this text in its name."""
        (found,) = [span for span in self.spans if span.kind == kind and name in span.name]
        return found

    @asynccontextmanager
    async def tracing(self, **variables: str) -> AsyncIterator[Tracing]:
        """Trace while the block runs. When it has ended, its spans are here."""
        asked = read_environment({"OTEL_TRACES_EXPORTER": "otlp", **variables})
        assert asked is not None
        async with run(asked, 10.0, self.send) as tracing:
            yield tracing


class Receiver(Collector):
    """A collector that speaks OTLP over HTTP and keeps what it receives.

    Attributes:
        port: Where it listens.
        requests: The head of each request.
        resources: What they say of where spans come from.
        answers: The statuses to answer with, and headers, before it comes to answer with 200 alone.
        connections: How many there were.
        closes: It closes a connection after each answer, without saying so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self.requests: list[dict[str, str]] = []
        self.resources: list[dict[str, object]] = []
        self.answers: list[tuple[int, Mapping[str, str]]] = []
        self.connections = 0
        self.closes = False

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        http = h11.Connection(h11.SERVER)
        async with stream:
            while True:
                body = b""
                while not isinstance(event := http.next_event(), h11.EndOfMessage):
                    if event is h11.NEED_DATA:
                        http.receive_data(bytes(await stream.receive_some()))
                    elif isinstance(event, h11.Request):
                        head = {name.decode(): value.decode() for name, value in event.headers}
                        self.requests.append({"target": event.target.decode(), **head})
                    elif isinstance(event, h11.Data):
                        body += event.data
                    else:
                        return
                status, headers = self.answers.pop(0) if self.answers else (200, {})
                if status == 200:
                    self._read(gzip.decompress(body) if head.get("content-encoding") == "gzip" else body)
                answer = h11.Response(status_code=status, headers=[*headers.items(), ("content-length", "2")])
                events = (answer, h11.Data(data=b"{}"), h11.EndOfMessage())
                await stream.send_all(b"".join(http.send(event) or b"" for event in events))
                if self.closes:
                    return
                http.start_next_cycle()

    def _read(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append({pair.key: value_of(pair.value) for pair in resource.resource.attributes})
            for scope in resource.scope_spans:
                assert scope.scope.name == "echo"
                self.take(iter(scope.spans))


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    """A collector on a free port, while the block runs."""
    receiver = Receiver()
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, receiver.serve, 0, host=LOOPBACK)
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        receiver.port = listeners[0].socket.getsockname()[1]
        yield receiver
        nursery.cancel_scope.cancel()
