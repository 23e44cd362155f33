"""What a task that runs handlers leaves to the next call: nothing."""

import random
from contextvars import ContextVar
from types import SimpleNamespace
from typing import cast

import pytest
import trio
import trio.testing

from echo.transport.backend import current_backend
from echo.transport.handlers import Handlers
from echo.transport.server import ServerSession
from echo.transport.server_call import ServerCall
from echo.wire import Status, Trailers
from tests.support.received import received


def a_call(number: int, deadline: float) -> ServerCall:
    session = SimpleNamespace(backend=current_backend(), trace_of=lambda _: None)
    call = ServerCall(cast("ServerSession", session), number, 0, 0, 0)
    call.deadline = deadline
    return call


async def serve_two(first_deadline: float, second_deadline: float, *, give_up: bool = False) -> list[str]:
    """Serve a call that pays no heed to being cancelled, then another one that comes just before that has returned."""
    ends: list[str] = []

    async def handle(call: ServerCall) -> None:
        if call is first:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)
            if give_up:
                call.give_up(Trailers(Status.CANCELLED), "reset")
            handlers.add(second)
        else:
            await trio.sleep(3)
        ends.append("first" if call is first else "second")

    first, second = a_call(1, first_deadline), a_call(3, second_deadline)
    handlers = Handlers(current_backend(), 10, handle, lambda _: None)
    async with trio.open_nursery() as handlers.nursery:
        handlers.add(first)
    assert handlers.idle
    return [*ends, *(f"{call.id} {call.end_cause}" for call in (first, second) if call.end_cause)]


async def test_a_call_given_up_does_not_cut_short_the_next(autojump_clock: trio.testing.MockClock) -> None:
    forever = float("inf")
    assert await serve_two(forever, forever, give_up=True) == ["first", "second", "1 reset"]


async def test_a_deadline_that_has_passed_does_not_cut_short_the_next(autojump_clock: trio.testing.MockClock) -> None:
    assert await serve_two(1, 100) == ["first", "second"]


async def test_a_deadline_does_not_bound_the_next_call(autojump_clock: trio.testing.MockClock) -> None:
    assert await serve_two(4, float("inf")) == ["first", "second"]


async def test_a_deadline_bounds_its_own_call(autojump_clock: trio.testing.MockClock) -> None:
    assert await serve_two(float("inf"), 4) == ["first", "3 deadline"]


current: ContextVar[int] = ContextVar("current")


async def test_calls_share_a_task_and_each_finds_its_own_context() -> None:
    seen: list[tuple[int, int]] = []
    tasks: set[trio.lowlevel.Task] = set()

    async def handle(call: ServerCall) -> None:
        seen.append((call.id, current.get()))
        tasks.add(trio.lowlevel.current_task())

    def enter(call: ServerCall) -> None:
        current.set(call.id)

    handlers = Handlers(current_backend(), 10, handle, lambda _: None, enter)
    async with trio.open_nursery() as handlers.nursery:
        for number in (1, 3, 5):
            handlers.add(a_call(number, float("inf")))
    assert handlers.idle
    assert seen == [(1, 1), (3, 3), (5, 5)]
    assert len(tasks) == 1


async def test_handlers_that_wait_all_begin_within_a_few_turns_of_the_event_loop() -> None:
    begun = 0

    async def handle(_: ServerCall) -> None:
        nonlocal begun
        begun += 1
        await trio.sleep_forever()

    handlers = Handlers(current_backend(), 100, handle, lambda _: None)
    async with trio.open_nursery() as handlers.nursery:
        for number in range(150):
            handlers.add(a_call(number * 2 + 1, float("inf")))
        for _ in range(4):
            await trio.lowlevel.checkpoint()
        assert begun == handlers.running == 100
        handlers.nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(20))
async def test_never_more_handlers_run_than_may(seed: int) -> None:
    chance = random.Random(seed)
    running, most, served = 0, 0, 0

    async def handle(call: ServerCall) -> None:
        nonlocal running, most, served
        running += 1
        most = max(most, running)
        for _ in range(chance.choice([0, 0, 1, 3])):
            await trio.lowlevel.checkpoint()
        if chance.random() < 0.1:
            context_variable.set(call.id)
        running -= 1
        served += 1

    context_variable: ContextVar[int] = ContextVar("context_variable")
    handlers = Handlers(current_backend(), 3, handle, lambda _: None)
    async with trio.open_nursery() as handlers.nursery:
        for number in range(200):
            handlers.add(a_call(number * 2 + 1, chance.choice([float("inf"), 1e9])))
            if chance.random() < 0.3:
                await trio.lowlevel.checkpoint()
    assert (served, most, handlers.running) == (200, 3, 0)


async def test_calls_that_wait_for_their_turn_are_served_after_one_that_leaves_a_nursery_open() -> None:
    served: list[int] = []
    left: list[object] = []

    async def handle(call: ServerCall) -> None:
        served.append(call.id)
        if call.id == 1:
            current.set(1)  # So that the task serves no further call.
            left.append(manager := trio.open_nursery())
            await manager.__aenter__()

    def over(_: ServerCall) -> None:
        if handlers.idle:
            assert served == [1, 3, 5]
            handlers.nursery.cancel_scope.cancel()

    handlers = Handlers(current_backend(), 1, handle, over)
    with pytest.raises(ExceptionGroup, match="nursery"):
        async with trio.open_nursery() as handlers.nursery:
            for number in (1, 3, 5):
                call = a_call(number, float("inf"))
                call.begin(received("/s/m"), 0)
                handlers.add(call)
    assert served == [1, 3, 5]


async def test_the_connection_hears_that_nothing_is_left_when_the_last_call_is_over_before_its_handler_began() -> None:
    heard: list[str] = []

    async def handle(_: ServerCall) -> None:
        heard.append("handled")

    def over(_: ServerCall) -> None:
        heard.append("over, nothing left" if handlers.idle else "over")

    handlers = Handlers(current_backend(), 10, handle, over)
    async with trio.open_nursery() as handlers.nursery:
        call = a_call(1, float("inf"))
        handlers.add(call)
        handlers.discard(call)
    assert heard == ["over, nothing left"]
