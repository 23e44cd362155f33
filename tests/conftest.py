"""Which tests run where (see the markers in ``pyproject.toml``), on which event loop, and by which clock."""

import gc
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NoReturn

import anyio
import hypothesis
import pytest
import trio.testing

# So that a failed assert of what tests share says what it saw, as those in tests do. Before any of it is imported.
pytest.register_assert_rewrite("tests.support", "tests.probe", "tests.gateway", "tests.interop")

from tests.support.quiet_clock import QuietClock  # noqa: E402
from tests.support.services import Run  # noqa: E402

# By default hypothesis fails an example that takes more than 200 ms, which any may do on a loaded machine.
hypothesis.settings.register_profile("any machine", deadline=None)
if hypothesis.settings.get_current_profile_name() == "default":  # Not under `tests.mutation`, which has its own.
    hypothesis.settings.load_profile("any machine")

LOOPBACK: Final = "127.0.0.1,localhost,::1"


@pytest.fixture(params=["trio", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs an async function to its end on trio, then in another test on asyncio; a minute at most."""

    def run_on(function: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with anyio.fail_after(60):
                await function()

        anyio.run(bounded, backend=request.param)

    return run_on


@pytest.fixture
def quiet_clock() -> QuietClock:
    """Virtual time, that passes when nobody does anything and nothing is on its way."""
    return QuietClock()


@pytest.fixture
def autojump_clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    """pytest-trio's fixture, for tests without sockets: it jumps though bytes are on their way in the kernel."""

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a real socket under the autojump clock: use quiet_clock")

    for name in ("bind", "connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.fixture
def no_collections() -> Iterator[None]:
    """No garbage collections during the test."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def pytest_configure() -> None:
    """Make up for what this machine's environment says.

    The paths of temporary folders stay short if `TMPDIR` is long: that of a Unix socket has 107 bytes at most. No
    client goes through the machine's proxy to what a test serves; grpcio does so even for the loopback address. And
    nothing that a test runs sends its metrics and traces to the machine's collector.
    """
    if len(os.fsencode(tempfile.gettempdir())) > 40 and os.access("/tmp", os.W_OK):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = "/tmp"
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    direct = f"{direct},{LOOPBACK}" if direct else LOOPBACK
    os.environ |= {"no_grpc_proxy": direct, "no_proxy": direct, "NO_PROXY": direct}
    for variable in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[variable]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose third-party program is missing; asked here, so that tests left out cost nothing."""
    for marker in item.iter_markers("third_party"):
        (installed,) = marker.args
        if not installed():
            pytest.skip(marker.kwargs["reason"])
