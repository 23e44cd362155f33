"""Retries by a service config's policy (proposal A6): a failed call is attempted again after a pause.

A call is attempted again if its method has a policy that lists the status of its failure, and

- no response head has arrived, and the messages sent so far are still kept (see `echo.rpc.retry`);
- fewer attempts than the policy's ``maxAttempts`` have been made;
- the server has not forbidden it with ``grpc-retry-pushback-ms``;
- not too many of the channel's calls fail (``retryThrottling``);
- its deadline, which covers all attempts together, has not passed.

Each attempt after the first tells the server in ``grpc-previous-rpc-attempts`` how many came before; the response's
metadata tells the caller the same. A failure to connect is a failed attempt. Transparent retries are not attempts in
this sense: they are made at once, and counted separately.
"""

import math
import re
from collections.abc import Collection
from functools import partial
from typing import Final, Protocol

import anyio

from echo.rpc.backoff import jittered
from echo.rpc.call_notes import CallRecord
from echo.rpc.retry import MAX_TRANSPARENT_RETRIES, RetriedCall, after_attempts
from echo.rpc.service_config import RetryPolicy, RetryThrottling
from echo.transport import ClientCall, ClientSession
from echo.wire import PUSHBACK, GRPCError, Response, Status, Trailers

_MILLISECONDS: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,9})", re.ASCII)


class OpenAttempt(Protocol):
    """Opens an attempt, given how many came before, the one that failed, and the connections to avoid."""

    async def __call__(  # noqa: D102
        self, *, previous: int, refused: ClientCall | None = None, avoided: Collection[ClientSession] = ()
    ) -> ClientCall: ...


class Throttle:
    """Suspends retries and hedging on a channel while too many attempts fail.

    Args:
        config: When that is.
    """

    def __init__(self, config: RetryThrottling) -> None:
        self._most = config.max_tokens
        self._ratio = config.token_ratio
        self._tokens = config.max_tokens

    @property
    def permits(self) -> bool:
        """Whether calls may be attempted again."""
        return self._tokens > self._most / 2

    def fail(self) -> None:
        """Count a failed attempt."""
        self._tokens = max(0.0, self._tokens - 1)

    def succeed(self) -> None:
        """Count a successful call."""
        self._tokens = min(self._most, self._tokens + self._ratio)


def pushback(trailers: Trailers) -> float | None:
    """Seconds the server asks to wait before the next attempt; infinity for no more attempts, None if it is silent."""
    if PUSHBACK not in trailers.metadata:
        return None
    values = trailers.metadata.getall(PUSHBACK)
    text = values[0] if len(values) == 1 else ""
    if not isinstance(text, str) or not _MILLISECONDS.fullmatch(text) or not 0 <= int(text) < 2**31:
        return math.inf
    return int(text) / 1_000


class Schedule:
    """Decides when one call is attempted again.

    Args:
        policy: The method's policy.
        throttle: The channel's throttle.
        deadline: The call's deadline on the event loop's clock.

    Attributes:
        made: How many attempts were made, without transparent retries.
    """

    def __init__(self, policy: RetryPolicy, throttle: Throttle | None, deadline: float) -> None:
        self.made = 0
        self._policy = policy
        self._throttle = throttle
        self._deadline = deadline
        self._pauses = 0  # Pauses by the policy since the server last said how long to wait.
        self._not_before = -math.inf
        self._last: Trailers | None = None

    def allows(self, failed: Trailers) -> bool:
        """Decide whether a failed attempt is followed by another; `pause` then waits for it. Call once per failure.

        It may allow an attempt at a call that can no longer be repeated, whose failure counts nevertheless.
        """
        policy, throttle = self._policy, self._throttle
        wanted = pushback(failed)
        if failed.status not in policy.codes and wanted != math.inf:
            return False
        if throttle is not None:
            throttle.fail()
        if (
            failed.status not in policy.codes
            or wanted == math.inf
            or (throttle is not None and not throttle.permits)
            or self.made >= policy.max_attempts
        ):
            return False
        if wanted is None:
            pause = jittered(min(policy.initial_backoff * policy.multiplier**self._pauses, policy.max_backoff))
            self._pauses += 1
        else:
            pause, self._pauses = wanted, 0
        self._not_before = anyio.current_time() + pause
        self._last = failed
        return True

    async def pause(self) -> None:
        """Wait until the next attempt is due. It can be called again after being cancelled.

        Raises:
            GRPCError: DEADLINE_EXCEEDED: the deadline comes first.
        """
        await anyio.sleep_until(min(self._not_before, self._deadline))
        if self._deadline <= self._not_before:
            last = self._last
            why = "" if last is None else f" (the last attempt ended {last.status.name}: {last.message})"
            raise GRPCError(Status.DEADLINE_EXCEEDED, f"the deadline passed before the next attempt{why}")

    def note_end(self, ended: Trailers | None) -> None:
        """Note how the call's last attempt ended; None if it has not."""
        if self._throttle is not None and ended is not None and ended.status is Status.OK:
            self._throttle.succeed()


async def open_retried(open_attempt: OpenAttempt, schedule: Schedule, record: CallRecord | None) -> "PolicyRetriedCall":
    """Open a call that is retried by its schedule. Failures to connect are retried here.

    Raises:
        GRPCError: The last attempt failed.
        ValueError, TypeError: The metadata cannot be sent.
    """
    while True:
        try:
            call = await open_attempt(previous=schedule.made)
        except GRPCError as error:
            schedule.made += 1
            if not schedule.allows(Trailers(error.status, error.message)):
                raise
            await schedule.pause()
            if record is not None:
                record.retry(anyio.current_time(), transparent=False)
        else:
            schedule.made += 1
            return PolicyRetriedCall(open_attempt, call, schedule, record)


class PolicyRetriedCall(RetriedCall):
    """A call that is retried by its method's policy.

    Args:
        open_attempt: Opens further attempts.
        call: The first attempt.
        schedule: Decides when there is another.
        record: Is told of each.
    """

    __slots__ = ("_again", "_judged", "_open_attempt", "_schedule", "_transparent", "_transparent_retries")

    def __init__(
        self, open_attempt: OpenAttempt, call: ClientCall, schedule: Schedule, record: CallRecord | None = None
    ) -> None:
        super().__init__(partial(open_attempt, previous=0), call, record)
        self._open_attempt = open_attempt
        self._schedule: Schedule | None = schedule
        self._judged: ClientCall | None = None  # The failed attempt for which the next two are decided.
        self._again = False  # Whether there is another attempt.
        self._transparent = False  # Whether that is a transparent retry.
        self._transparent_retries = 0

    async def receive_response(self) -> Response | None:
        """See `RetriedCall.receive_response`; the head's metadata says how many attempts came before."""
        response = await super().receive_response()
        if response is not None and self._schedule is not None and self._schedule.made > 1:
            return after_attempts(response, self._schedule.made - 1)
        return response

    def reset(self) -> None:
        """See `RetriedCall.reset`."""
        super().reset()
        schedule = self._schedule
        if schedule is not None:
            self._schedule = None
            schedule.note_end(self.current.trailers)

    def _lost(self, call: ClientCall) -> bool:
        if call is not self.current:
            return True
        if call is not self._judged and call.trailers is not None:
            self._judged = call
            self._again = self._decide(call, call.trailers)
        return call is self._judged and self._again

    def _decide(self, call: ClientCall, trailers: Trailers) -> bool:
        repeatable = call.kept is not None
        self._transparent = call.unprocessed and repeatable and self._transparent_retries < MAX_TRANSPARENT_RETRIES
        if self._transparent:
            return True
        return self._schedule is not None and self._schedule.allows(trailers)

    @property
    def _may_retry(self) -> bool:
        return self._lost(self.current) and self.current.kept is not None

    async def _open_again(self, refused: ClientCall) -> ClientCall:
        schedule = self._schedule
        assert schedule is not None  # Otherwise `_decide` allows no other attempt.
        while True:
            await schedule.pause()  # Does not wait for a transparent retry.
            if self._record is not None:
                self._record.retry(anyio.current_time(), transparent=self._transparent)
            previous = schedule.made - 1 if self._transparent else schedule.made
            try:
                call = await self._open_attempt(previous=previous, refused=refused)
            except GRPCError as error:
                self._count()
                self._transparent = False
                if not schedule.allows(Trailers(error.status, error.message)):
                    raise
            else:
                self._count()
                return call

    def _count(self) -> None:
        """Count an attempt."""
        if self._transparent:
            self._transparent_retries += 1
        elif self._schedule is not None:
            self._schedule.made += 1
