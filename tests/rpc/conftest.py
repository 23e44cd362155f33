"""The core of the runtime is tested on both event loops that anyio knows."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=["trio", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs an async function to its end on trio, then in another test on asyncio; ten seconds at most."""

    def run_on(function: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with anyio.fail_after(10):
                await function()

        anyio.run(bounded, backend=request.param)

    return run_on
