"""Hedging by a service config's policy (proposal A6): a call that is not answered soon is made several times.

The first attempt is made at once. Each further one follows ``hedgingDelay`` after the previous one, or as soon as one
has failed with a status in ``nonFatalStatusCodes``. The first attempt that is answered, or that fails with another
status, decides the call; the others are reset. Servers may get the same call several times, so hedging is only for
methods where that does no harm.

Further attempts are made while the caller waits for the response, in a nursery around that wait; those already due are
made at once. Attempts are not tasks, so a cancelled receive loses none, and can be repeated.

Messages are sent on every attempt, and kept for later ones. When there are too many to keep (see `echo.rpc.retry`), the
oldest running attempt becomes the call, and no more are made.
"""

import math
from collections.abc import Iterable

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from echo.rpc.call_notes import CallRecord
from echo.rpc.retry import MAX_TRANSPARENT_RETRIES, after_attempts
from echo.rpc.retry_policy import OpenAttempt, Throttle, pushback
from echo.rpc.service_config import HedgingPolicy
from echo.transport import ClientCall
from echo.wire import GRPCError, Response, Status, Trailers

__all__ = ["HedgedCall", "open_hedged"]


async def open_hedged(
    open_attempt: OpenAttempt, policy: HedgingPolicy, throttle: Throttle | None, record: CallRecord | None
) -> "HedgedCall":
    """Open a call's first attempt.

    Raises:
        GRPCError: It cannot be opened.
        ValueError, TypeError: The metadata cannot be sent.
    """
    return HedgedCall(open_attempt, await open_attempt(previous=0), policy, throttle, record)


class HedgedCall:
    """A call made of several attempts at a time. One task may send while another receives.

    Args:
        open_attempt: Opens further attempts.
        first: The first attempt.
        policy: The method's policy.
        throttle: The channel's throttle.
        record: Is told of the deciding attempt only.

    Attributes:
        current: The attempt that decides the call, or the oldest until one does.
    """

    def __init__(
        self,
        open_attempt: OpenAttempt,
        first: ClientCall,
        policy: HedgingPolicy,
        throttle: Throttle | None,
        record: CallRecord | None,
    ) -> None:
        first.kept = None  # What must be sent again is kept here, once for all attempts.
        self.current: ClientCall = first
        self._record = record
        self._open_attempt = open_attempt
        self._policy = policy
        self._throttle = throttle
        self._running = [first]
        self._previous = {first: 0}  # How many attempts came before each.
        self._made = 1
        self._transparent_retries = 0
        self._next_at = anyio.current_time() + policy.delay
        self._kept: list[bytes] | None = []  # The framed messages sent; None once the call is decided.
        self._kept_size = 0
        self._half_closed = False
        self._verdict: Trailers | None = None  # How the call ended, if not like `current`.
        self._lock = anyio.Lock()  # Held while attempts race.
        self._race: TaskGroup | None = None
        self._hurry = anyio.Event()  # Set when the time of the next attempt has changed.
        self._last_failure: tuple[Trailers, ClientCall | None] = (Trailers(Status.UNKNOWN), None)
        self._settled = False

    @property
    def outcome(self) -> Trailers | None:
        """How the call ended, once it has."""
        if self._verdict is None and self._kept is not None:
            return None
        return self._verdict or self.current.trailers

    def send_nowait(self, message: bytes, *, end: bool = False) -> bool:  # noqa: ARG002 - as in MadeCall
        """Send nothing: a message goes out on every attempt, and may have to wait on each."""
        return False

    async def send_message(self, message: bytes, *, end: bool = False) -> None:
        """Send one message on every attempt; raises like `RetriedCall.send_message`."""
        if self._kept is not None:
            await checkpoint()  # First of all, so that a cancelled sender has sent nothing.
        if self._kept is not None:
            framed = self.current.encoder(message)
            self._kept_size += len(framed)
            if self._kept_size <= self.current.session.max_kept:
                self._kept.append(framed)
                self._send_on_all([framed], end=end)
                return
            self._decide(self._running[0] if self._running else self.current)
        await self.current.send_message(message, end=end)

    def _send_on_all(self, kept: Iterable[bytes], *, end: bool) -> None:
        self._half_closed = self._half_closed or end
        for attempt in self._running:
            attempt.repeat(kept, half_close=end)

    def half_close_nowait(self) -> bool:
        """Do nothing: see `send_nowait`."""
        return False

    async def half_close(self) -> None:
        """Send no more messages; raises like `RetriedCall.half_close`."""
        if self._kept is None:
            await self.current.half_close()
        else:
            self._send_on_all([], end=True)

    async def receive_response(self) -> Response | None:
        """Wait for the head of the response; None if the call ended without."""
        while self._kept is not None:
            async with self._lock:
                if self._kept is not None:
                    await self._run_race()
        if self._verdict is not None:
            return None
        await self.current.receive_response()
        return self.current.response

    async def receive_trailers(self) -> Trailers:
        """Wait until the call has ended."""
        await self.receive_response()
        return self._verdict or await self.current.receive_trailers()

    def cancel(self, verdict: Trailers) -> None:
        """See `RetriedCall.cancel`."""
        if self.outcome is None:
            self._verdict = verdict
        self.current.conclude(verdict)  # A task may wait for its messages.
        self.reset()

    def reset(self) -> None:
        """See `RetriedCall.reset`."""
        self._decide(self.current)
        self.current.reset()
        ended = self.current.trailers
        if not self._settled:
            self._settled = True
            if self._throttle is not None and self._verdict is None and ended is not None and ended.status is Status.OK:
                self._throttle.succeed()

    # Deciding

    async def _run_race(self) -> None:
        """Make further attempts when they are due, until the call is decided."""
        try:
            async with anyio.create_task_group() as self._race:
                for attempt in self._running:
                    self._race.start_soon(self._watch, attempt)
                self._race.start_soon(self._hedge)
        finally:
            self._race = None

    async def _watch(self, attempt: ClientCall) -> None:
        """Wait for an attempt's outcome."""
        await attempt.receive_response()
        if attempt not in self._running:
            return
        trailers = attempt.trailers
        if attempt.response is not None or trailers is None or trailers.status is Status.OK:
            self._decide(attempt)
        elif attempt.unprocessed and self._transparent_retries < MAX_TRANSPARENT_RETRIES:
            self._transparent_retries += 1
            await self._attempt(self._previous[attempt], instead=attempt)
        else:
            self._fail(trailers, attempt)

    async def _hedge(self) -> None:
        """Make the remaining attempts when they are due."""
        while self._made < self._policy.max_attempts:
            self._hurry = anyio.Event()
            with anyio.CancelScope(deadline=self._next_at) as waiting:
                await self._hurry.wait()
            if not waiting.cancelled_caught and anyio.current_time() < self._next_at:
                continue
            if self._throttle is not None and not self._throttle.permits:
                self._made = self._policy.max_attempts
                break
            due = anyio.current_time()
            self._next_at = due + self._policy.delay
            try:
                await self._attempt(self._made)
            except BaseException:
                self._next_at = due  # It was not made, and still can be.
                raise
            self._made += 1
        self._give_up_if_over()

    async def _attempt(self, previous: int, instead: ClientCall | None = None) -> None:
        """Open an attempt, send it the messages sent so far, and watch it; it may replace an attempt (``instead``)."""
        try:
            elsewhere = {other.session for other in self._previous}
            attempt = await self._open_attempt(previous=previous, refused=instead, avoided=elsewhere)
        except GRPCError as error:
            self._fail(Trailers(error.status, error.message), instead)
            return
        attempt.kept = None
        if self._race is None or self._kept is None:
            attempt.reset()  # The call was decided meanwhile.
            return
        attempt.repeat(self._kept, half_close=self._half_closed)
        if instead is not None:
            self._running.remove(instead)
        self._running.append(attempt)
        self._previous[attempt] = previous
        self._race.start_soon(self._watch, attempt)

    def _fail(self, trailers: Trailers, attempt: ClientCall | None) -> None:
        """Handle an attempt that has failed, or could not be opened (None)."""
        if self._kept is None:
            return
        wanted = pushback(trailers)
        fatal = trailers.status not in self._policy.codes
        if self._throttle is not None and (not fatal or wanted == math.inf):
            self._throttle.fail()
        self._last_failure = trailers, attempt
        if fatal:
            self._give_up()
            return
        if attempt is not None:
            self._running.remove(attempt)
        if wanted == math.inf:
            self._made = self._policy.max_attempts
        else:
            self._next_at = anyio.current_time() + (wanted or 0.0)
        self._hurry.set()
        self._give_up_if_over()

    def _give_up_if_over(self) -> None:
        if not self._running and self._made >= self._policy.max_attempts and self._kept is not None:
            self._give_up()

    def _give_up(self) -> None:
        """End the call with the last failure."""
        trailers, attempt = self._last_failure
        if attempt is None or attempt.trailers is not trailers:
            self._verdict = trailers
        self._decide(attempt or self.current)

    def _decide(self, attempt: ClientCall) -> None:
        """Let this attempt decide the call: reset the others, and make no more."""
        if self._kept is None:
            return
        self._kept = None
        self.current = attempt
        if self._record is not None:
            self._record.opened(attempt)
        for other in self._running:
            if other is not attempt:
                other.reset()
        self._running.clear()
        if attempt.response is not None and self._previous.get(attempt):
            attempt.response = after_attempts(attempt.response, self._previous[attempt])
        if self._race is not None:
            self._race.cancel_scope.cancel()
