"""For all tests of workers: a time limit, and a check that nothing is left over."""

from collections.abc import AsyncIterator

import pytest
import trio

from tests.support.leaks import no_leaks
from tests.support.supervised import PATIENCE


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    with trio.fail_after(PATIENCE):
        async with no_leaks():
            yield
