"""`RetriedCall` by itself, between two tasks that meet at the worst moments."""

import math
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import cast

import pytest
import trio
import trio.testing
from grpclib.exceptions import StreamTerminatedError

from echo.rpc import GRPCError, Limits, Status
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
        room: Set while sending does not wait. Otherwise messages are received, but their sender waits.
        was_reset: Whether the client has reset it.
    """

    def __init__(self) -> None:
        self.session = SimpleNamespace(limits=Limits(), flush_soon=lambda: None)
        self.response: Response | None = None
        self.trailers: Trailers | None = None
        self.unprocessed = False
        self.sent: list[bytes | None] = []
        self.room = trio.Event()
        self.room.set()
        self.was_reset = False
        self._changed = trio.Event()

    async def send_message(self, message: bytes, *, hold: bool = False) -> None:  # noqa: ARG002 - as in ClientCall
        if self.trailers is not None:
            raise StreamTerminatedError
        self.sent.append(message)
        await self.room.wait()

    async def half_close(self) -> None:
        if self.trailers is not None:
            raise StreamTerminatedError
        self.sent.append(None)

    async def receive_response(self) -> None:
        while self.response is None and self.trailers is None:
            await self._changed.wait()

    def reset(self) -> None:
        self.was_reset = True

    def conclude(self, trailers: Trailers) -> None:
        if self.trailers is None:
            self.trailers = trailers
            self._changed.set()

    def refuse(self) -> None:
        self.unprocessed = True
        self.conclude(Trailers(Status.UNAVAILABLE, "refused"))

    def answer(self) -> None:
        self.response = Response()
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
    await call.receive_response()
    assert call.response is not None


async def test_a_message_that_was_just_taken_when_its_call_was_refused_is_sent_on_the_new_one_once() -> None:
    calls = Calls()
    call = calls.retried()
    old = calls.made[0]
    old.room = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.receive_response)
        nursery.start_soon(call.send_message, b"first")
        await trio.testing.wait_all_tasks_blocked()
        old.refuse()
        await trio.testing.wait_all_tasks_blocked()
        (_, new) = calls.made
        assert new.sent == []
        old.room.set()
        await trio.testing.wait_all_tasks_blocked()
        assert new.sent == [b"first"]
        await call.send_message(b"second")
        await call.half_close()
        assert new.sent == [b"first", b"second", None]
        new.answer()
    assert old.sent == [b"first"]


async def test_a_retry_refused_while_being_sent_starts_from_the_beginning() -> None:
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
    assert [made.sent for made in calls.made] == [[b"first", b"second"], [], [b"first", b"second"]]


async def test_cancelling_a_retry_leaves_no_call_behind_and_it_can_be_repeated() -> None:
    calls = Calls()
    call = calls.retried()
    await call.send_message(b"first")

    def stall(new: FakeCall) -> None:
        new.room = trio.Event()

    calls.prepare = stall
    calls.made[0].refuse()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call.receive_response)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    (old, stalled) = calls.made
    assert stalled.was_reset
    calls.made.pop()
    calls.prepare = FakeCall.answer
    await answered(call)
    assert calls.made[-1].sent == old.sent == [b"first"]


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
            call.end(Trailers(Status.CANCELLED))
        else:
            call.reset()
    assert all(made.was_reset for made in calls.made)
    assert call.current is cast("ClientCall", calls.made[0])
    assert call.trailers is not None
    assert call.trailers.status is (Status.CANCELLED if cancelling else Status.UNAVAILABLE)


async def test_a_failed_retry_is_reported_to_both_tasks() -> None:
    calls = Calls()
    call = calls.retried()
    calls.failure = GRPCError(Status.UNAVAILABLE, "nobody there")
    calls.made[0].refuse()
    with pytest.raises(StreamTerminatedError):
        await call.send_message(b"x")
    assert await call.receive_response() is None
    assert call.trailers == Trailers(Status.UNAVAILABLE, "nobody there")
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
    """Three attempts are allowed; while the first still takes a message, it fails, and so does the second."""

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
    assert [made.sent for made in calls.made] == [[b"x"], [], [b"x"]]
