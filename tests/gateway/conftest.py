"""What the gateway's tests share: a check for leaks, and a clock that advances while nothing happens."""

import math
from collections.abc import AsyncIterator

import pytest

from tests.support.leaks import no_leaks
from tests.support.quiet_clock import QuietClock


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """After the test: no task, descriptor, call or connection that was not there before."""
    async with no_leaks():
        yield


@pytest.fixture
def no_close_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway waits for close frames forever: a test that ends has shown that it has not waited for that time."""
    monkeypatch.setattr("echo.gateway.websocket.CLOSE_TIMEOUT", math.inf)


@pytest.fixture
def clock(quiet_clock: QuietClock) -> QuietClock:
    """Every test here that depends on time uses real sockets."""
    return quiet_clock
