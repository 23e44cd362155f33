"""What a task that runs handlers leaves to the next call: nothing."""

from contextvars import ContextVar
from typing import cast

import trio
import trio.testing

from echo.transport.backend import current_backend
from echo.transport.handlers import Handlers
from echo.transport.server_call import ServerCall
from echo.transport.session import Session
from echo.transport.tracing import CallTrace
from echo.wire import Status, Trailers


def a_call(number: int, deadline: float) -> ServerCall:
    session = cast("Session", type("NoSession", (), {"backend": current_backend()}))
    call = ServerCall(session, number, 0, 0, 0)  # type: ignore[arg-type]
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
    handlers = Handlers(current_backend(), 10, handle, lambda _: None, lambda: None)
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


current: ContextVar[str] = ContextVar("current")


class Trace:
    """What is recorded of a call, as far as its handler can tell."""

    def __init__(self, name: str) -> None:
        self.name = name

    def enter(self) -> None:
        current.set(self.name)


async def served(*traces: str) -> list[tuple[str, trio.lowlevel.Task]]:
    """Serve calls that come together, with these traces, empty for none: what each handler finds, and its task."""
    seen: list[tuple[str, trio.lowlevel.Task]] = []

    async def handle(_: ServerCall) -> None:
        seen.append((current.get(""), trio.lowlevel.current_task()))

    handlers = Handlers(current_backend(), 10, handle, lambda _: None, lambda: None)
    async with trio.open_nursery() as handlers.nursery:
        for number, name in enumerate(traces):
            call = a_call(number * 2 + 1, float("inf"))
            call.trace = cast("CallTrace", Trace(name)) if name else None
            handlers.add(call)
    assert handlers.idle
    return seen


async def test_calls_that_are_traced_share_a_task_and_find_their_own_traces() -> None:
    seen = await served("first", "second", "third")
    assert [name for name, _ in seen] == ["first", "second", "third"]
    assert len({task for _, task in seen}) == 1


async def test_a_call_that_is_not_traced_does_not_find_the_trace_of_the_one_before() -> None:
    assert [name for name, _ in await served("first", "", "third")] == ["first", "", "third"]


async def test_handlers_that_wait_all_begin_within_a_few_turns_of_the_event_loop() -> None:
    begun = 0

    async def handle(_: ServerCall) -> None:
        nonlocal begun
        begun += 1
        await trio.sleep_forever()

    handlers = Handlers(current_backend(), 100, handle, lambda _: None, lambda: None)
    async with trio.open_nursery() as handlers.nursery:
        for number in range(150):
            handlers.add(a_call(number * 2 + 1, float("inf")))
        for _ in range(4):
            await trio.lowlevel.checkpoint()
        assert begun == handlers.running == 100
        handlers.nursery.cancel_scope.cancel()


async def test_the_connection_hears_that_nothing_is_left_when_the_last_call_is_over_before_its_handler_began() -> None:
    heard: list[str] = []

    async def handle(_: ServerCall) -> None:
        heard.append("handled")

    def over(_: ServerCall) -> None:
        heard.append("over")

    handlers = Handlers(current_backend(), 10, handle, over, lambda: heard.append("nothing left"))
    async with trio.open_nursery() as handlers.nursery:
        call = a_call(1, float("inf"))
        handlers.add(call)
        handlers.discard(call)
    assert heard == ["over", "nothing left"]
