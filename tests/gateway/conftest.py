"""What the gateway's tests share: nothing may be left behind, and time that passes when nobody does anything."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from tests.support.leaks import no_leaks


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """After the test: no task, descriptor, call or connection that was not there before."""
    async with no_leaks():
        yield


@pytest.fixture
def clock(mock_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Virtual time. It jumps only once nothing has happened for a while, as bytes may be under way in the kernel."""
    mock_clock.autojump_threshold = 0.01
    return mock_clock
