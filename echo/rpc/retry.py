"""Transparent retries: a call that no server has processed is sent again, to another server if possible.

This is gRPC's proposal A6, "Transparent Retries". A server has certainly not processed a call if it refused its stream
(REFUSED_STREAM, RFC 9113 §8.7), or named a lower stream as the last one in its GOAWAY (§6.8). The call is then retried
with the same deadline and with everything the caller has sent so far: the messages, in order, and the half-close if
there was one. The caller carries on and notices nothing but the delay. A call is not retried

- once the head of its response has arrived, whatever happens later;
- once its messages, prefixes included, exceed what a `ClientCall` keeps: 64 KiB or `Limits.max_unsent`, whichever is
  less. (Within `max_unsent`, sending them again never has to wait.)
- more than `MAX_TRANSPARENT_RETRIES` times;
- after the caller has cancelled it or left its block.

It then fails with the last server's status, or with the reason why no other connection could be made.
`echo.rpc.retry_policy` adds the retries of a service config.

A caller holds the `ClientCall` itself until that is refused, and a `RetriedCall` from then on: most calls never are.

Two tasks, one retry
--------------------
A caller may send in one task and receive in another, and both notice that the call has ended. The first to notice takes
a lock and retries; the other waits for the lock and finds a new call. Every message is sent once and in order:

- A call that takes a message keeps it in the same step. A message that a refused call did not take is sent on the new
  one, by its sender. The same holds for the half-close.
- What was kept is sent on the new call, which then becomes the current one, with no await in between.
"""

from collections.abc import Awaitable
from typing import Final, Protocol

import anyio
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.call_notes import CallRecord
from echo.transport import ClientCall
from echo.wire import PREVIOUS_ATTEMPTS, GRPCError, Response, Status, Trailers

MAX_TRANSPARENT_RETRIES: Final = 3  # Of one call.


class Open(Protocol):
    """Opens the call on some connection; for a retry, given the call that was refused."""

    def __call__(self, *, refused: ClientCall | None) -> Awaitable[ClientCall]: ...  # noqa: D102


class MadeCall(Protocol):
    """What a `ClientStream` uses: a `ClientCall`, or something like it that is made of several."""

    @property
    def current(self) -> ClientCall:
        """The attempt whose response the caller gets, or the latest one until that is known."""

    @property
    def outcome(self) -> Trailers | None:
        """How the call ended, once it has; None while another attempt may follow."""

    def send_nowait(self, message: bytes, *, end: bool = False) -> bool:
        """Send one message like `send_message` if that needs no waiting; returns whether it was sent."""

    async def send_message(self, message: bytes, *, end: bool = False) -> None:
        """Send one message, as `RetriedCall.send_message`."""

    def half_close_nowait(self) -> bool:
        """Send no more messages, if that needs no waiting; returns whether it did not."""

    async def half_close(self) -> None:
        """Send no more messages; raises like `RetriedCall.half_close`."""

    async def receive_response(self) -> Response | None:
        """Wait for the head of the response; None if the call ended without."""

    async def receive_trailers(self) -> Trailers:
        """Wait until the call has ended."""

    def cancel(self, verdict: Trailers) -> None:
        """See `RetriedCall.cancel`."""

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

    __slots__ = ("_lock", "_open", "_record", "_renewing", "_retries", "current")

    def __init__(self, open_call: Open, call: ClientCall, record: CallRecord | None = None) -> None:
        self.current: ClientCall = call
        self._record = record
        self._open = open_call
        self._retries = 0
        self._lock: anyio.Lock | None = None  # Held during a retry. Few calls ever need one.
        self._renewing: anyio.CancelScope | None = None

    @property
    def outcome(self) -> Trailers | None:
        """How the call ended, once it has. A refused call that may still be retried has not."""
        ended = self.current.trailers
        if ended is not None and ended.status is not Status.OK and self._may_retry:
            return None
        return ended

    def send_nowait(self, message: bytes, *, end: bool = False) -> bool:
        """Send one message like `send_message` if that needs no waiting; returns whether it was sent."""
        return self.current.send_nowait(message, end=end)

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
                return await call.send_message(message, end=end)
            except StreamTerminatedError:
                if not await self._renewed(call):
                    raise

    def half_close_nowait(self) -> bool:
        """Send no more messages, if that needs no waiting; returns whether it did not."""
        return self.current.half_close_nowait()

    async def half_close(self) -> None:
        """Send no more messages.

        Raises:
            StreamTerminatedError: The call is over.
        """
        while True:
            call = self.current
            try:
                return await call.half_close()
            except StreamTerminatedError:
                if not await self._renewed(call):
                    raise

    async def receive_response(self) -> Response | None:
        """Wait for the head of the response; None if the call ended without one."""
        while True:
            call = self.current
            response = await call.receive_response()
            if not await self._renewed(call):
                return response

    async def receive_trailers(self) -> Trailers:
        """Wait until the call has ended."""
        while True:
            call = self.current
            await call.receive_trailers()
            if not await self._renewed(call):
                return await call.receive_trailers()  # A retry that failed has changed them.

    def cancel(self, verdict: Trailers) -> None:
        """End the call with RST_STREAM CANCEL; tasks that wait for it get the verdict. Never waits.

        If the call is over already, its status does not change.
        """
        if self.outcome is None:
            self.current.supersede(verdict)
        self.reset()

    def reset(self) -> None:
        """End the call, with RST_STREAM CANCEL if it is still open, and allow no more retries. Never waits."""
        self.current.kept = None
        if self._renewing is not None:
            self._renewing.cancel()
        self.current.reset()

    async def _renewed(self, ended: ClientCall) -> bool:
        """Whether there is a new call in place of this one, made now if it is due and no other task has made it."""
        if not self._lost(ended):
            return False
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            if self.current is ended and self._may_retry:
                with anyio.CancelScope() as self._renewing:
                    try:
                        await self._retry(ended)
                    except GRPCError as error:
                        if ended.kept is not None:  # Otherwise the call was cancelled meanwhile, and that is its end.
                            ended.supersede(Trailers(error.status, error.message))
                    finally:
                        self._renewing = None
            return self.current is not ended

    async def _open_again(self, refused: ClientCall) -> ClientCall:
        if self._record is not None:
            self._record.retry(anyio.current_time(), transparent=True)
        return await self._open(refused=refused)

    def _lost(self, call: ClientCall) -> bool:
        """Whether another attempt may replace this one, or has done so."""
        return call.unprocessed

    @property
    def _may_retry(self) -> bool:
        repeatable = self.current.unprocessed and self.current.kept is not None
        return repeatable and self._retries < MAX_TRANSPARENT_RETRIES

    async def _retry(self, refused: ClientCall) -> None:
        call = await self._open_again(refused)
        self._retries += 1
        if self._record is not None:
            self._record.opened(call)
        if refused.kept is None:  # Reset in the meantime, with nothing left here to cancel.
            call.reset()
        else:
            call.repeat(refused.kept, half_close=refused.end is not None)
            call.kept = refused.kept
            self.current = call


def after_attempts(response: Response, previous: int) -> Response:
    """The head of a response, with metadata that say how many attempts came before (proposal A6)."""
    metadata = response.metadata.copy()
    metadata[PREVIOUS_ATTEMPTS] = str(previous)
    return Response(metadata, response.encoding)
