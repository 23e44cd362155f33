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

from grpclib.const import Cardinality, Handler
from opentelemetry.trace import SpanContext, SpanKind

from echo.printable import printable
from echo.rpc import Status
from echo.rpc.tracing import MadeCallTrace
from echo.telemetry.tracing.protobuf import CLIENT, SERVER, attribute, count, failure, name_and_kind
from echo.telemetry.tracing.recorder import Recorder, Span, current
from echo.transport import CallTrace, ServerCall, Tracing
from echo.wire import Metadata

__all__ = ["MadeCalls", "ServedCalls"]

UNTRACED: Final = ("/grpc.health.", "/grpc.reflection.")
LONGEST: Final = 256  # Characters of what a peer has said.

_OURS: Final = frozenset(
    {Status.UNKNOWN, Status.DEADLINE_EXCEEDED, Status.UNIMPLEMENTED, Status.INTERNAL, Status.UNAVAILABLE}
    | {Status.DATA_LOSS}
)
"""What is a failure of the server's, by the conventions: the others are answers."""


@dataclass(frozen=True, slots=True)
class _Method:
    """A method.

    Attributes:
        name: The span's.
        pieces: What every span of it says.
        streaming: Either side may send several messages.
    """

    name: str
    pieces: bytes
    streaming: bool


def _method(path: str, kind: int, *, streaming: bool, known: bool = True) -> _Method:
    full = path.removeprefix("/") if known else "_OTHER"
    name = full if known else "grpc"  # Span names are few, whatever clients call.
    common = (("rpc.system.name", "grpc"), ("rpc.system", "grpc"), ("rpc.method", full))
    pieces = name_and_kind(name, kind) + b"".join(attribute(key, value) for key, value in common)
    if known:
        pieces += attribute("rpc.service", full.rpartition("/")[0])
    return _Method(name, pieces, streaming)


def _outcomes(failures: frozenset[Status]) -> dict[Status, bytes]:
    return {
        status: attribute("rpc.response.status_code", status.name)
        + attribute("rpc.grpc.status_code", status.value)
        + (attribute("error.type", status.name) if status in failures else b"")
        for status in Status
    }


_SERVED: Final = _outcomes(_OURS)
_MADE: Final = _outcomes(frozenset(Status) - {Status.OK})


class ServedCall(Span):
    """The span of a call that is served."""

    __slots__ = ("_cancelled", "_method", "_received")

    def __init__(self, recorder: Recorder, context: SpanContext, parent: SpanContext | None, method: _Method) -> None:
        super().__init__(recorder, context, parent)
        self._method = method
        self._received = not method.streaming  # Nothing is said of that any more, or at all.
        self._cancelled = False

    def received(self) -> None:
        if not self._received:
            self._received = True
            self.happened("first message received")

    def sent_first(self) -> None:
        if self._method.streaming:
            self.happened("first message sent")

    def half_closed(self) -> None:
        if self._method.streaming:
            self.happened("half-close")

    def draining(self) -> None:
        self.happened("drain")

    def cancelled(self, cause: str, reason: str | None) -> None:
        if not self._cancelled:
            self._cancelled = True
            self.happened("cancel", f"{cause}: {printable(reason, LONGEST)}" if reason else cause)

    def over(self, call: ServerCall) -> None:
        if not self.recorded:
            return
        session = call.session
        status, reason = call.outcome(session.backend.now())
        method = self._method
        pieces = [
            method.pieces,
            _SERVED[status],
            count("echo.messages.received", call.messages.messages),
            count("echo.messages.sent", call.unsent.messages),
            _client(session.peer.addr()),
        ]
        if method.name == "grpc":
            pieces.append(attribute("rpc.method_original", printable(call.request.path, LONGEST)))
        if status in _OURS:
            pieces.append(failure(printable(reason or "", LONGEST)))
        self.end(*pieces)


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
        self._methods: dict[str, _Method | None] = dict.fromkeys(handlers)
        for path, handler in handlers.items():
            if not path.startswith(UNTRACED):
                streaming = handler.cardinality is not Cardinality.UNARY_UNARY
                self._methods[path] = _method(path, SERVER, streaming=streaming)
        self._other = _method("", SERVER, streaming=False, known=False)

    def begin(self, call: ServerCall) -> CallTrace | None:
        """The trace of a call."""
        method = self._methods.get(call.request.path, self._other)
        if method is None:
            return None
        recorder = self._recorder
        parent = recorder.propagation.read(call.request.metadata.get)
        return ServedCall(recorder, recorder.context(parent, method.name, SpanKind.SERVER), parent, method)


class MadeCall(Span):
    """The span of a call that is made."""

    __slots__ = ("_cancelled", "_method", "_over", "_target")

    def __init__(
        self, recorder: Recorder, context: SpanContext, parent: SpanContext | None, method: _Method, target: bytes
    ) -> None:
        super().__init__(recorder, context, parent)
        self._method = method
        self._target = target
        self._cancelled = False
        self._over = False

    def head_received(self) -> None:
        if self._method.streaming:
            self.happened("response began")

    def half_closed(self) -> None:
        if self._method.streaming:
            self.happened("half-close")

    def cancelled(self, reason: str) -> None:
        if not self._cancelled and not self._over:
            self._cancelled = True
            self.happened("cancel", reason)

    def over(self, status: Status, message: str | None, sent: int, received: int) -> None:
        if self._over:
            return
        self._over = True
        pieces = [
            self._method.pieces,
            _MADE[status],
            count("echo.messages.sent", sent),
            count("echo.messages.received", received),
            self._target,
        ]
        if status is not Status.OK:
            pieces.append(failure(printable(message or "", LONGEST)))
        self.end(*pieces)


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
        context = recorder.context(parent, method.name, SpanKind.CLIENT)
        recorder.propagation.write(context, metadata)
        if not context.trace_flags & 1:
            return None
        return MadeCall(recorder, context, parent, method, _server(target))


@lru_cache(1024)
def _made(path: str, streaming: bool) -> _Method:
    # Who calls knows what exists; but the gateway's clients may ask it for anything.
    return _method(printable(path, LONGEST), CLIENT, streaming=streaming)


@lru_cache(64)
def _server(target: str) -> bytes:
    host, _, port = target.rpartition(":")
    if host and port.isdecimal() and "," not in target:
        return attribute("server.address", host.strip("[]")) + attribute("server.port", int(port))
    return attribute("server.address", target)


@lru_cache(1024)
def _client(address: tuple[str, int] | str | None) -> bytes:
    if isinstance(address, tuple):
        return attribute("client.address", address[0]) + attribute("client.port", address[1])
    return b""
