"""The probe's tests run in virtual time: what a check waits for must not depend on how busy the machine is."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.quiet_clock import QuietClock

HERE = Path(__file__).parent
PROGRAMS = {HERE / "test_balancing.py", HERE / "real"}
"""Where servers and proxies are processes of their own, of which `QuietClock` knows nothing."""


def quietly(
    main: Callable[[], Awaitable[Any]],
    *,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> Any:
    """`trio.run` under a `QuietClock`, unless the test has chosen another."""
    if clock is None:
        quiet = clock = QuietClock()
        instruments = [*instruments, quiet]
    return trio.run(main, clock=clock, instruments=instruments)


@pytest.hookimpl(trylast=True)  # After pytest-trio has marked its own.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folders = {item.path, *item.path.parents}
        if HERE in folders and not folders & PROGRAMS and item.get_closest_marker("trio") is not None:
            item.add_marker(pytest.mark.trio(run=quietly), append=False)
