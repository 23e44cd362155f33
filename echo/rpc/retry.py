"""Transparent retries: a call that no server has processed is sent again, to another server if possible.

This is gRPC's proposal A6, "Transparent Retries". A server has certainly not processed a call if it refused its stream
(REFUSED_STREAM, RFC 9113 §8.7), or named a lower stream as the last one in its GOAWAY (§6.8). The call is then retried
with the same deadline and with everything the caller has sent so far: the messages, in order, and the half-close if
there was one. The caller carries on and notices nothing but the delay. A call is not retried

- once the head of its response has arrived, whatever happens later;
- once its messages, prefixes included, exceed `MAX_REPLAY` or `Limits.max_unsent`, whichever is less: from then on they
  are not kept. (Within `max_unsent`, sending them again never has to wait.)
- after `MAX_ATTEMPTS` attempts;
- after the caller has cancelled it or left its block.

It then fails with the last server's status, or with the reason why no other connection could be made.
`echo.rpc.retry_policy` adds the retries of a service config.

Two tasks, one retry
--------------------
A caller may send in one task and receive in another, and both notice that the call has ended. The first to notice takes
a lock and retries; the other waits for the lock and finds a new call. Three rules ensure that every message is sent
once and in order:

- The new call becomes the current one after all kept messages have been sent on it. Nothing is awaited between the last
  check for kept messages and that moment.
- A message is kept only if its call was not refused by the time the send returned. Otherwise its sender sends it again,
  on the new call.
- The half-close is recorded before it is done. So it is either lost with the old call and repeated with the kept
  messages, or done on the new one.
"""

from collections.abc import Awaitable
from typing import Final, Protocol

import anyio
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.call_notes import CallRecord
from echo.transport import ClientCall, Peer
from echo.wire import PREFIX_SIZE, GRPCError, Response, Status, Trailers

MAX_ATTEMPTS: Final = 4  # Including the first.
MAX_REPLAY: Final = 64 * 1024  # Bytes of messages kept for a retry.


class Open(Protocol):
    """Opens the call on some connection; for a retry, given the call that was refused."""

    def __call__(self, *, refused: ClientCall | None) -> Awaitable[ClientCall]: ...  # noqa: D102


class RepeatableCall(Protocol):
    """What a `ClientStream` uses: like a `ClientCall`, but made of as many attempts as needed."""

    @property
    def current(self) -> ClientCall:
        """The attempt whose response the caller gets, or the latest one until that is known."""

    @property
    def record(self) -> CallRecord | None:
        """The call's record, if any."""

    @property
    def peer(self) -> Peer:
        """The other end of the connection."""

    @property
    def trailers(self) -> Trailers | None:
        """How the call ended, once it has."""

    def send_nowait(self, message: bytes, *, end: bool = False) -> bool:
        """Send one message like `send_message` if that needs no waiting; returns whether it was sent."""

    async def send_message(self, message: bytes, *, end: bool = False) -> None:
        """Send one message, as `RetriedCall.send_message`."""

    async def half_close(self) -> None:
        """Send no more messages; raises like `RetriedCall.half_close`."""

    async def receive_response(self) -> Response | None:
        """Wait for the head of the response; None if the call ended without."""

    async def receive_trailers(self) -> Trailers:
        """Wait until the call has ended."""

    def end(self, verdict: Trailers) -> None:
        """See `RetriedCall.end`."""

    def reset(self) -> None:
        """See `RetriedCall.reset`."""


class RetriedCall:
    """Like a `ClientCall`, but made of as many attempts as needed. One task may send while another receives.

    Args:
        open_call: Opens the call again for a retry.
        call: The first attempt.
        record: Is told of further attempts.

    Attributes:
        current: The latest attempt.
    """

    __slots__ = (
        "_attempts",
        "_half_closed",
        "_kept",
        "_kept_size",
        "_lock",
        "_open",
        "_renewing",
        "_verdict",
        "current",
        "record",
    )

    def __init__(self, open_call: Open, call: ClientCall, record: CallRecord | None = None) -> None:
        self.current = call
        self.record = record
        self._open = open_call
        self._half_closed = False
        self._attempts = 1
        self._kept: list[bytes] | None = []  # The messages sent; None when they are no longer kept.
        self._kept_size = 0
        self._lock: anyio.Lock | None = None  # Held during a retry. Few calls ever need one.
        self._renewing: anyio.CancelScope | None = None
        self._verdict: Trailers | None = None  # How the call ended, if not like the latest attempt.

    @property
    def peer(self) -> Peer:
        """The other end of the connection."""
        return self.current.session.peer

    @property
    def response(self) -> Response | None:
        """The head of the response, once it was received."""
        return self.current.response

    @property
    def trailers(self) -> Trailers | None:
        """How the call ended, once it has. A refused call that may still be retried has not."""
        ended = self.current.trailers
        if ended is None or self._verdict is not None:
            return self._verdict
        if ended.status is not Status.OK and self._lost(self.current) and self._may_retry:
            return None
        return ended

    def send_nowait(self, message: bytes, *, end: bool = False) -> bool:
        """Send one message like `send_message` if that needs no waiting; returns whether it was sent."""
        if not self.current.send_nowait(message, end=end):
            return False
        self._keep(message)
        if end:
            self._half_closed = True
        return True

    async def send_message(self, message: bytes, *, end: bool = False) -> None:
        """Send one message; waits while the server reads more slowly than we send.

        Args:
            message: Encoded.
            end: Whether it is the last one, after which the call is half-closed.

        Raises:
            StreamTerminatedError: The call is over.
        """
        while True:
            call = self.current
            try:
                await call.send_message(message, hold=end)
            except StreamTerminatedError:
                if not (self._lost(call) and await self._renewed(call)):
                    raise
            else:
                if call.trailers is None:
                    self._keep(message)
                    break
                if not (self._lost(call) and await self._renewed(call)):
                    break  # Lost like any message of a call that fails later; the receiver gets the error.
        if end:
            await self.half_close()

    async def half_close(self) -> None:
        """Send no more messages.

        Raises:
            StreamTerminatedError: The call is over.
        """
        self._half_closed = True
        call = self.current
        try:
            await call.half_close()
        except StreamTerminatedError:
            if not (self._lost(call) and await self._renewed(call)):
                raise
            # The retry has repeated the half-close.

    async def receive_response(self) -> Response | None:
        """Wait for the head of the response; None if the call ended without one."""
        while True:
            call = self.current
            await call.receive_response()
            if not (self._lost(call) and await self._renewed(call)):
                self._kept = None  # Not needed any more, and the call may be a long one.
                return call.response

    async def receive_trailers(self) -> Trailers:
        """Wait until the call has ended."""
        while True:
            call = self.current
            trailers = await call.receive_trailers()
            if not (self._lost(call) and await self._renewed(call)):
                return self._verdict or trailers

    def end(self, verdict: Trailers) -> None:
        """End the call with RST_STREAM CANCEL; tasks that wait for it get the verdict. Never waits.

        If the call is over already, its status does not change.
        """
        if self.trailers is None:
            self._verdict = verdict
        self.current.conclude(verdict)
        self.reset()

    def reset(self) -> None:
        """End the call, with RST_STREAM CANCEL if it is still open, and allow no more retries. Never waits."""
        self._kept = None
        if self._renewing is not None:
            self._renewing.cancel()
        self.current.reset()

    def _keep(self, message: bytes) -> None:
        if self._kept is None:
            return
        self._kept_size += PREFIX_SIZE + len(message)
        limit = min(MAX_REPLAY, self.current.session.limits.max_unsent)
        if self._kept_size > limit:
            self._kept = None
        else:
            self._kept.append(message)

    async def _renewed(self, ended: ClientCall) -> bool:
        """Retry a refused call, unless another task has or it is not allowed; returns whether there is a new call."""
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            if self.current is ended and self._may_retry:
                with anyio.CancelScope() as self._renewing:
                    try:
                        await self._retry(ended)
                    except GRPCError as error:
                        self._verdict = Trailers(error.status, error.message)
                        self._kept = None
                    finally:
                        self._renewing = None
            return self.current is not ended

    async def _open_again(self, refused: ClientCall) -> ClientCall:
        if self.record is not None:
            self.record.retry(anyio.current_time(), transparent=True)
        return await self._open(refused=refused)

    def _lost(self, call: ClientCall) -> bool:
        """Whether another attempt may replace this one, or has done so."""
        return call.unprocessed

    @property
    def _may_retry(self) -> bool:
        return self._kept is not None and self.current.response is None and self._attempts < MAX_ATTEMPTS

    async def _retry(self, refused: ClientCall) -> None:
        kept = self._kept
        assert kept is not None
        call = await self._open_again(refused)
        self._attempts += 1
        if self.record is not None:
            self.record.opened(call)
        try:
            for message in kept:
                await call.send_message(message, hold=True)
            if self._half_closed:
                await call.half_close()
            call.session.flush_soon()
        except StreamTerminatedError:
            pass  # It has ended already; its next user will see how.
        except BaseException:
            call.reset()
            raise
        if self._kept is None:  # Reset in the meantime, with nothing left here to cancel.
            call.reset()
        else:
            self.current = call
