"""The spans of gRPC calls, those that a server serves and those that a channel makes.

Names and attributes are those of OpenTelemetry's semantic conventions for RPC; ``rpc.system`` and
``rpc.grpc.status_code``, which these call deprecated, are said as well, since many backends look for them. What no
convention names begins with ``echo.``. Health checks and reflection are not traced: there would be many, and nobody
would look at them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import anyio
from grpclib.const import Cardinality, Handler
from opentelemetry.trace import SpanKind

from echo.printable import printable
from echo.rpc import Status
from echo.rpc.tracing import MadeCallTrace
from echo.targets import split
from echo.telemetry.tracing.propagation import likely
from echo.telemetry.tracing.protobuf import CLIENT, SERVER, attribute, failure, name_and_kind
from echo.telemetry.tracing.recorder import Recorder, Span, current
from echo.telemetry.tracing.spans import Where
from echo.transport import ServerCall, Tracing
from echo.wire import Metadata

__all__ = ["MadeCalls", "ServedCalls"]

UNTRACED: Final = ("/grpc.health.", "/grpc.reflection.")
LONGEST: Final = 256  # Characters of what a peer has said.

_OK: Final = Status.OK  # Which every call looks at, and looking it up takes 0.1 us.

_FAILURES: Final = {
    SERVER: frozenset(
        {Status.UNKNOWN, Status.DEADLINE_EXCEEDED, Status.UNIMPLEMENTED, Status.INTERNAL, Status.UNAVAILABLE}
        | {Status.DATA_LOSS}
    ),
    CLIENT: frozenset(Status) - {Status.OK},
}
"""What is a failure, by the conventions: a server's other errors are answers."""


@dataclass(frozen=True, slots=True, eq=False)
class _Method:
    """A method.

    Attributes:
        name: The span's.
        ends: What every span of it says, by how the call ended; and whether that is a failure.
        streaming: Either side may send several messages.
        known: There is such a method.
        made: Its calls are made here, not served.
    """

    name: str
    ends: dict[Status, tuple[bytes, bool]]
    streaming: bool
    known: bool
    made: bool

    def told(self, received: int, sent: int, where: Where, status: Status = Status.OK) -> bytes:
        """What the span of a call says that ended with this status, but for what else is to be told of a failure.

        Args:
            received: Messages received,
            sent: and sent.
            where: The client's address, or the server's as the channel has it.
            status: How the call ended.
        """
        end = self.ends[status][0] + _counts(received, sent)
        if isinstance(where, tuple):
            return end + attribute("client.address", where[0]) + attribute("client.port", where[1])
        return end + _server(where) if self.made and where else end


def _method(path: str, kind: int, *, streaming: bool, known: bool = True) -> _Method:
    full = path.removeprefix("/") if known else "_OTHER"
    name = full if known else "grpc"  # Span names are few, whatever clients call.
    common = (("rpc.system.name", "grpc"), ("rpc.system", "grpc"), ("rpc.method", full))
    pieces = name_and_kind(name, kind) + b"".join(attribute(key, value) for key, value in common)
    failures = _FAILURES[kind]
    ends = {status: (pieces + _end(status, failures), status in failures) for status in Status}
    return _Method(name, ends, streaming, known, kind == CLIENT)


def _end(status: Status, failures: frozenset[Status]) -> bytes:
    end = attribute("rpc.response.status_code", status.name) + attribute("rpc.grpc.status_code", status.value)
    return end + attribute("error.type", status.name) if status in failures else end


_UNKNOWN: Final = _method("", SERVER, streaming=False, known=False)
_UNTRACED: Final = _method("", SERVER, streaming=False, known=False)


class ServedCall(Span):
    """The span of a call that is served."""

    __slots__ = ("method",)

    method: _Method
    _received = _cancelled = False

    def received(self) -> None:
        if not self._received:
            self._received = True
            self.happened("first message received")

    def sent_first(self) -> None:
        self.happened("first message sent")

    def half_closed(self) -> None:
        self.happened("half-close")

    def draining(self) -> None:
        self.happened("drain")

    def cancelled(self, cause: str, reason: str | None) -> None:
        if not self._cancelled:
            self._cancelled = True
            self.happened("cancel", f"{cause}: {printable(reason, LONGEST)}" if reason else cause)

    def over(self, call: ServerCall, now: float, status: Status, reason: str | None) -> None:
        if not self.recorded:
            return
        method = self.method
        received, sent, client = call.messages.messages, call.unsent.messages, call.session.peer.addr()
        if status is _OK and self.more is None:
            parent = self.unread or self.parent
            self.take((method, received, sent, client, parent, self.trace_id, self.span_id, self.start, now))
            return
        told = method.told(received, sent, client, status)
        if not method.known:
            told += attribute("rpc.method_original", printable(call.request.path, LONGEST))
        self.finish(told + (failure(printable(reason or "", LONGEST)) if method.ends[status][1] else b""))


class ServedCalls:
    """Traces the calls of servers; an instance is what `Server` wants as ``tracing``."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def serving(self, handlers: Mapping[str, Handler]) -> Tracing:
        """What traces the calls of a server with these methods."""
        return _Serving(self._recorder, handlers)


class _Serving:
    def __init__(self, recorder: Recorder, handlers: Mapping[str, Handler]) -> None:
        self._recorder = recorder
        self._handlers = handlers
        self._methods: dict[str, _Method] = {}  # Of the handlers that were called.

    def begin(self, call: ServerCall) -> None:
        """Give a call its trace."""
        request = call.request
        method = self._methods.get(request.path) or self._find(request.path)
        if method is not _UNTRACED:
            trace = call.trace = ServedCall()
            trace.method = method
            recorder, metadata = self._recorder, request.metadata
            header = metadata.get("traceparent") if metadata else None
            if recorder.samples_all and (header is None or (likely(header) and "tracestate" not in metadata)):
                recorder.begin_sampled(trace, header, call.started)
            else:
                parent = recorder.propagation.read(metadata.get)
                recorder.begin(trace, parent, method.name, SpanKind.SERVER, call.started)
            if method.streaming and trace.recorded:
                call.stream_trace = trace

    def _find(self, path: str) -> _Method:
        """The method, which a server may have been given since."""
        handler = self._handlers.get(path)
        if handler is None:
            return _UNKNOWN
        streaming = handler.cardinality is not Cardinality.UNARY_UNARY
        found = _UNTRACED if path.startswith(UNTRACED) else _method(path, SERVER, streaming=streaming)
        return self._methods.setdefault(path, found)


class MadeCall(Span):
    """The span of a call that is made."""

    __slots__ = ("method", "target")

    method: _Method
    target: str
    _cancelled = _over = False

    def head_received(self) -> None:
        if self.method.streaming:
            self.happened("response began")

    def half_closed(self) -> None:
        if self.method.streaming:
            self.happened("half-close")

    def cancelled(self, reason: str) -> None:
        if not self._cancelled and not self._over:
            self._cancelled = True
            self.happened("cancel", reason)

    def over(self, status: Status, message: str | None, sent: int, received: int) -> None:
        if self._over:
            return
        self._over = True
        method, target = self.method, self.target
        if status is _OK and self.more is None:
            end = anyio.current_time()
            self.take((method, received, sent, target, self.parent, self.trace_id, self.span_id, self.start, end))
            return
        told = method.told(received, sent, target, status)
        self.finish(told + (failure(printable(message or "", LONGEST)) if method.ends[status][1] else b""))


class MadeCalls:
    """Traces the calls that are made on channels; an instance is what `open_channel` wants as ``tracing``."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def begin(self, path: str, target: str, metadata: Metadata, *, streaming: bool) -> MadeCallTrace | None:
        """The trace of a call that is to be opened."""
        if path.startswith(UNTRACED):
            return None
        recorder = self._recorder
        method = _made(path, streaming)
        parent = current() or recorder.propagation.read(metadata.get)
        call = MadeCall()
        call.method, call.target = method, target
        recorder.begin(call, parent, method.name, SpanKind.CLIENT, anyio.current_time())
        recorder.propagation.write(call.as_parent(), metadata)
        return call if call.recorded else None


@lru_cache(4096)
def _counts(received: int, sent: int) -> bytes:
    """How many messages there were."""
    return attribute("echo.messages.received", received) + attribute("echo.messages.sent", sent)


@lru_cache(1024)
def _made(path: str, streaming: bool) -> _Method:
    # Who calls knows what exists; but the gateway's clients may ask it for anything.
    return _method(printable(path, LONGEST), CLIENT, streaming=streaming)


@lru_cache(64)
def _server(target: str) -> bytes:
    try:
        host, port = split(target)
    except ValueError:  # Several, or a Unix socket.
        host, port = target, None
    return attribute("server.address", host) + (b"" if port is None else attribute("server.port", port))
