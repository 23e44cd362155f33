"""Open calls end at their deadlines, whatever the order in which they were made."""

import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from echo.transport.client_call import ClientCall
from echo.transport.deadlines import Deadlines


class Due(ClientCall):
    """A call that only notes when it was ended."""

    def __init__(self, number: int, deadline: float) -> None:
        self.id = number
        self.deadline = deadline
        self.ended = math.inf

    def expire(self) -> None:
        self.ended = trio.current_time()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_each_call_is_ended_at_its_own_deadline(seconds: list[int]) -> None:
    async def ended() -> list[float]:
        await trio.sleep(100)  # So that no stream's id is later than now.
        began = trio.current_time()
        calls = {number: Due(number, began + delay) for number, delay in enumerate(seconds, start=1)}
        deadlines = Deadlines(calls)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.run)
            for call in calls.values():
                deadlines.add(call)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()
        return [call.ended - began for call in calls.values()]

    clock = MockClock(autojump_threshold=0)
    assert trio.run(ended, clock=clock) == pytest.approx(seconds)
