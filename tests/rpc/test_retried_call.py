"""`RetriedCall` by itself, between two tasks that meet at the worst moments."""

import math
from collections.abc import Callable, Collection
from typing import cast

import pytest
import trio
import trio.testing
from grpclib.exceptions import StreamTerminatedError

from echo.rpc import GRPCError, Status
from echo.rpc.retry import RetriedCall
from echo.rpc.retry_policy import PolicyRetriedCall, Schedule
from echo.rpc.service_config import RetryPolicy
from echo.transport import ClientSession
from echo.transport.client_call import ClientCall
from echo.wire.head import Response, Trailers


class FakeCall:
    """A call as a server sees it, which a test ends or delays.

    Attributes:
        sent: The messages received, and None for the half-close.
        room: Set while sending does not wait.
        was_reset: Whether the client has reset it.
    """

    def __init__(self) -> None:
        self.response: Response | None = None
        self.trailers: Trailers | None = None
        self.unprocessed = False
        self.kept: list[bytes] | None = []
        self.sent: list[bytes | None] = []
        self.room = trio.Event()
        self.room.set()
        self.was_reset = False
        self._changed = trio.Event()

    @property
    def end(self) -> bool | None:
        return True if None in self.sent else None

    async def send_message(self, message: bytes, *, end: bool = False) -> None:
        await self.room.wait()
        if self.trailers is not None:
            raise StreamTerminatedError
        self.sent.append(message)
        if self.kept is not None:
            self.kept.append(message)
        if end:
            self.sent.append(None)

    async def half_close(self) -> None:
        if self.trailers is not None:
            raise StreamTerminatedError
        self.sent.append(None)

    def repeat(self, kept: list[bytes], *, half_close: bool) -> None:
        self.sent += [*kept, None] if half_close else kept

    async def receive_response(self) -> Response | None:
        while self.response is None and self.trailers is None:
            await self._changed.wait()
        return self.response

    async def receive_trailers(self) -> Trailers:
        while self.trailers is None:
            await self._changed.wait()
        return self.trailers

    def reset(self) -> None:
        self.was_reset = True

    def conclude(self, trailers: Trailers) -> None:
        if self.trailers is None:
            self.trailers = trailers
            self._changed.set()

    def supersede(self, verdict: Trailers) -> None:
        self.kept = None
        self.trailers = verdict

    def refuse(self) -> None:
        self.unprocessed = True
        self.conclude(Trailers(Status.UNAVAILABLE, "refused"))

    def answer(self) -> None:
        self.response, self.kept = Response(), None
        self._changed.set()


class Calls:
    """Opens calls. ``prepare`` may change each further attempt before anybody uses it."""

    def __init__(self) -> None:
        self.made = [FakeCall()]
        self.opened = 0
        self.failure: GRPCError | None = None
        self.ready = trio.Event()
        self.ready.set()
        self.prepare: Callable[[FakeCall], None] = lambda _: None

    async def open(self, *, refused: ClientCall | None) -> ClientCall:
        assert refused is cast("ClientCall", self.made[-1])
        self.opened += 1
        await self.ready.wait()
        if self.failure is not None:
            raise self.failure
        call = FakeCall()
        self.prepare(call)
        self.made.append(call)
        return cast("ClientCall", call)

    def retried(self) -> RetriedCall:
        return RetriedCall(self.open, cast("ClientCall", self.made[0]))


async def answered(call: RetriedCall) -> None:
    assert await call.receive_response() is not None


async def test_a_message_that_waits_when_its_call_is_refused_is_sent_on_the_new_one_once() -> None:
    calls = Calls()
    call = calls.retried()
    old = calls.made[0]
    await call.send_message(b"first")
    old.room = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.receive_response)
        nursery.start_soon(call.send_message, b"second")
        await trio.testing.wait_all_tasks_blocked()
        old.refuse()
        await trio.testing.wait_all_tasks_blocked()
        (_, new) = calls.made
        assert new.sent == [b"first"]
        old.room.set()
        await trio.testing.wait_all_tasks_blocked()
        assert new.sent == [b"first", b"second"]
        await call.send_message(b"third", end=True)
        assert new.sent == [b"first", b"second", b"third", None]
        new.answer()
    assert old.sent == [b"first"]


async def test_a_retry_that_is_refused_is_repeated() -> None:
    calls = Calls()
    call = calls.retried()
    for message in (b"first", b"second"):
        await call.send_message(message)

    def refuse(new: FakeCall) -> None:
        if len(calls.made) == 1:
            new.refuse()
        else:
            new.answer()

    calls.prepare = refuse
    calls.made[0].refuse()
    await answered(call)
    assert [made.sent for made in calls.made] == [[b"first", b"second"]] * 3


async def test_a_retry_that_is_cancelled_can_be_repeated() -> None:
    calls = Calls()
    call = calls.retried()
    await call.send_message(b"first")
    calls.ready = trio.Event()
    calls.made[0].refuse()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.receive_response)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert calls.opened == 1
    calls.ready.set()
    calls.prepare = FakeCall.answer
    await answered(call)
    assert [made.sent for made in calls.made] == [[b"first"], [b"first"]]


@pytest.mark.parametrize("cancelling", [True, False])
async def test_a_new_call_that_comes_too_late_is_reset(cancelling: bool) -> None:
    calls = Calls()
    call = calls.retried()
    calls.ready = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.receive_response)
        calls.made[0].refuse()
        await trio.testing.wait_all_tasks_blocked()
        calls.ready.set()  # The call is as good as open,
        if cancelling:  # but its caller no longer wants it.
            call.cancel(Trailers(Status.CANCELLED))
        else:
            call.reset()
    assert all(made.was_reset for made in calls.made)
    assert call.current is cast("ClientCall", calls.made[0])
    assert call.outcome is not None
    assert call.outcome.status is (Status.CANCELLED if cancelling else Status.UNAVAILABLE)


async def test_a_retry_that_fails_just_as_its_call_is_cancelled_does_not_change_how_that_ended() -> None:
    calls = Calls()
    call = calls.retried()
    calls.ready = trio.Event()
    calls.failure = GRPCError(Status.UNAVAILABLE, "nobody there")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.receive_response)
        calls.made[0].refuse()
        await trio.testing.wait_all_tasks_blocked()
        calls.ready.set()  # The retry is as good as failed.
        call.cancel(Trailers(Status.CANCELLED))
    assert call.outcome == Trailers(Status.CANCELLED)


async def test_a_failed_retry_is_reported_to_both_tasks() -> None:
    calls = Calls()
    call = calls.retried()
    calls.failure = GRPCError(Status.UNAVAILABLE, "nobody there")
    calls.made[0].refuse()
    with pytest.raises(StreamTerminatedError):
        await call.send_message(b"x")
    assert await call.receive_response() is None
    assert call.outcome == Trailers(Status.UNAVAILABLE, "nobody there")
    assert calls.opened == 1


async def test_a_half_close_of_a_refused_call_is_repeated_on_the_new_one_or_fails() -> None:
    calls = Calls()
    call = calls.retried()
    await call.send_message(b"only")
    calls.made[0].refuse()
    await call.half_close()
    assert calls.made[1].sent == [b"only", None]
    calls.made[1].conclude(Trailers(Status.NOT_FOUND))
    with pytest.raises(StreamTerminatedError):
        await call.half_close()


async def test_a_failure_is_counted_once_even_if_its_sender_notices_late(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Three attempts are allowed; while a sender waits for room on the first, it fails, and so does the second."""

    async def attempt(
        *, previous: int, refused: ClientCall | None = None, avoided: Collection[ClientSession] = ()
    ) -> ClientCall:
        counts.append(previous)
        return await calls.open(refused=refused)

    counts: list[int] = []
    failed = Trailers(Status.UNAVAILABLE, "not now")
    calls = Calls()
    schedule = Schedule(RetryPolicy(3, 0.1, 0.1, 1.0, frozenset({Status.UNAVAILABLE})), None, math.inf)
    schedule.made = 1
    call = PolicyRetriedCall(attempt, cast("ClientCall", calls.made[0]), schedule)
    first = calls.made[0]
    first.room = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.receive_response)
        nursery.start_soon(call.send_message, b"x")
        await trio.testing.wait_all_tasks_blocked()
        first.conclude(failed)
        await trio.sleep(1)
        calls.made[1].conclude(failed)
        await trio.sleep(1)
        first.room.set()
        await trio.testing.wait_all_tasks_blocked()
        calls.made[2].answer()
    assert counts == [1, 2]
    assert [made.sent for made in calls.made] == [[], [], [b"x"]]
