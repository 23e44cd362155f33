"""What all tests of workers have: an end, and nothing left over."""

from collections.abc import AsyncIterator

import pytest
import trio

from tests.support.crew import PATIENCE
from tests.support.leaks import no_leaks


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    with trio.fail_after(PATIENCE):
        async with no_leaks():
            yield
