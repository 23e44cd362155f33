"""For all tests of workers: a time limit, a check that nothing is left over, and no worker that counts as stuck."""

from collections.abc import AsyncIterator

import pytest
import trio

from echo.workers import worker
from tests.support.leaks import no_leaks
from tests.support.supervised import PATIENCE


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that a busy machine keeps waiting is not stuck: its connections would go to another."""
    monkeypatch.setattr(worker, "TAKE_TIMEOUT", PATIENCE)


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    with trio.fail_after(PATIENCE):
        async with no_leaks():
            yield
