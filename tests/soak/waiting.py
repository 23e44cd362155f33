"""Waiting for what nobody announces: processes are watched from outside, and so are counters of many callers."""

from collections.abc import Callable

import trio


async def until(condition: Callable[[], bool], pause: float = 0.01) -> None:
    """Wait until the condition holds, looking every ``pause`` seconds."""
    while not condition():  # noqa: ASYNC110 - There is no event to wait for.
        await trio.sleep(pause)
