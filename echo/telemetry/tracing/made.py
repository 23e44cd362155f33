"""The spans of calls that a channel makes."""

from functools import lru_cache
from typing import Final

import anyio
from opentelemetry.trace import SpanKind

from echo.printable import printable
from echo.rpc import Status
from echo.rpc.tracing import MadeCallTrace
from echo.telemetry.tracing.methods import MAX_TEXT, UNTRACED, Method, method
from echo.telemetry.tracing.protobuf import CLIENT, failure
from echo.telemetry.tracing.recorder import Recorder
from echo.telemetry.tracing.span import Span, current
from echo.wire import Metadata

__all__ = ["MadeCalls"]

_OK: Final = Status.OK  # Looking it up takes 0.1 us.


class MadeCall(Span):
    """The span of a call that is made."""

    __slots__ = ("method", "target")

    method: Method
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
        self.finish(told + (failure(printable(message or "", MAX_TEXT)) if method.ends[status][1] else b""))


class MadeCalls:
    """Traces the calls that are made on channels; an instance is the ``tracing`` of `open_channel`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def begin(self, path: str, target: str, metadata: Metadata, *, streaming: bool) -> MadeCallTrace | None:
        """The trace of a call that is about to be opened."""
        if path.startswith(UNTRACED):
            return None
        recorder = self._recorder
        called = _called(path, streaming)
        parent = current() or recorder.propagation.read(metadata)
        call = MadeCall()
        call.method, call.target = called, target
        recorder.begin(call, parent, called.name, SpanKind.CLIENT, anyio.current_time())
        recorder.propagation.write(call.as_parent(), metadata)
        return call if call.recorded else None


@lru_cache(1024)
def _called(path: str, streaming: bool) -> Method:
    # A caller knows which methods exist. But the gateway's clients may ask it for anything.
    return method(printable(path, MAX_TEXT), CLIENT, streaming=streaming)
