"""The spans of calls that a server serves.

Few calls have a span while they are served: those of streaming methods, those in which something happens, and those
whose handlers ask for it. The span of any other call is encoded from what the server's register kept of the call,
together with others.
"""

import logging
from collections.abc import Callable, Mapping
from itertools import compress
from typing import Final, cast
from weakref import WeakSet

from grpclib.const import Cardinality, Handler
from opentelemetry.trace import SpanKind

from echo.printable import printable
from echo.rpc import Status
from echo.rpc.register import EndedCalls, Register
from echo.rpc.tracing import Tracing
from echo.telemetry.tracing.methods import MAX_TEXT, UNTRACED, Method, method
from echo.telemetry.tracing.protobuf import SERVER, attribute, failure
from echo.telemetry.tracing.recorder import Recorder
from echo.telemetry.tracing.span import Span, SpanContextual, attach
from echo.telemetry.tracing.together import Together
from echo.transport import ServerCall

__all__ = ["ServedCalls"]

log = logging.getLogger(__name__)

_UNKNOWN: Final = method("", SERVER, streaming=False, known=False)


class ServedCall(Span):
    """The span of a call that is served."""

    __slots__ = ("method",)

    method: Method
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
            self.happened("cancel", f"{cause}: {printable(reason, MAX_TEXT)}" if reason else cause)

    def over(self, call: ServerCall, status: Status, reason: str | None) -> None:
        """The call is over."""
        method = self.method
        told = method.told(call.messages.messages, call.unsent.messages, call.session.peer.addr(), status)
        if not method.known:
            told += attribute("rpc.method_original", printable(call.request.path, MAX_TEXT))
        self.finish(told + (failure(printable(reason or "", MAX_TEXT)) if method.ends[status][1] else b""))


class TracedCall(ServerCall, SpanContextual):
    """A call of a traced server. It is the OpenTelemetry context of its handler, so few calls need a span."""

    __slots__ = ()

    def span(self) -> Span | None:
        """Its span, made when it is first asked for; None if its method is not traced."""
        return cast("ServedCall | None", self.session.trace_of(self))


class ServedCalls:
    """Traces the calls of servers; an instance is the ``tracing`` of a `Server`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._registers: WeakSet[Register] = WeakSet()
        recorder.batches.collect = self._collect

    def serving(self, handlers: Mapping[str, Handler]) -> Tracing:
        """The tracing of a server with these methods."""
        return _Serving(self._recorder, handlers, self._registers)

    def _collect(self) -> None:
        for register in self._registers:
            register.flush()


class _Serving:
    """Traces the calls of one server; see `Tracing`."""

    calls = TracedCall

    def __init__(self, recorder: Recorder, handlers: Mapping[str, Handler], registers: "WeakSet[Register]") -> None:
        self.unary: set[str] = set()
        self._recorder = recorder
        self._handlers = handlers
        self._traced: dict[str, Method] = {}  # Methods that were called.
        self.seeds = recorder.seeds
        self.parent_of = recorder.propagation.parent_of
        self._together = Together(recorder)
        self.watch = registers.add
        self.enter = cast("Callable[[ServerCall], object]", attach)

    def begin(self, call: ServerCall) -> None:
        found = self._find(call.request.path)
        if found is None or found is _UNKNOWN:
            return
        if not found.streaming:
            self.unary.add(call.request.path)
        elif (trace := self.trace_of(call)) is not None and trace.recorded:
            call.stream_trace = trace

    def trace_of(self, call: ServerCall) -> ServedCall | None:
        if call.trace is None:
            found = self._find(call.request.path)
            if found is None:
                return None
            trace = ServedCall()
            trace.method = found
            recorder = self._recorder
            parent = recorder.propagation.read(call.request.metadata)
            seed = getattr(call, "seed", None)
            recorder.begin(trace, parent, found.name, SpanKind.SERVER, call.started, seed)
            call.trace = trace
        return cast("ServedCall", call.trace)

    def over(self, call: ServerCall, status: Status, reason: str | None) -> bytes | None:
        trace = self.trace_of(call)
        if trace is None or not trace.recorded:
            return None
        if status is Status.OK and trace.more is None:
            return trace.seed
        trace.over(call, status, reason)
        return None

    def _find(self, path: str) -> Method | None:
        """The method, which the server may have got since; None if it is not to be traced."""
        found = self._traced.get(path)
        if found is not None:
            return found
        handler = self._handlers.get(path)
        if handler is None:
            return _UNKNOWN
        if path.startswith(UNTRACED):
            return None
        streaming = handler.cardinality is not Cardinality.UNARY_UNARY
        return self._traced.setdefault(path, method(path, SERVER, streaming=streaming))

    def take(self, calls: EndedCalls) -> None:
        try:
            methods: list[Method | None] = list(map(self._traced.get, calls.paths))
            if not all(methods):
                methods = list(map(self._find, calls.paths))
            if not (all(methods) and all(calls.seeds)):
                traced = [bool(found and seed) for found, seed in zip(methods, calls.seeds, strict=True)]
                methods, calls = list(compress(methods, traced)), calls.only(traced)
            if methods:
                self._together.record(cast("list[Method]", methods), calls)
        except Exception:  # A fault of ours, which must not affect any call.
            log.exception("calls could not be traced")
