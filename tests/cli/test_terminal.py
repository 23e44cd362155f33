"""Programs whose terminal closes: SIGHUP is then no request to reload."""

import fcntl
import os
import signal
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.support.process import PATIENCE, command, environment
from tests.support.tls import Certificates

SERVE = ["serve", "--grpc-server-bind=127.0.0.1", "--grpc-server-port=0"]


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    """A time limit, so that a test that waits in vain fails with a traceback."""
    with trio.fail_after(2 * PATIENCE):
        yield


@asynccontextmanager
async def on_a_terminal(folder: Path, *arguments: str, how: str = "") -> AsyncIterator[tuple[trio.Process, Path]]:
    """Run a program on a terminal that closes once it listens; yields the process, and its log."""
    out, log = folder / "out", folder / "log"
    line = ["sh", "-c", f'exec {how} "$@" >{out} 2>{log}', "sh", *command(*arguments)]
    ours, theirs = os.openpty()

    def lead_session() -> None:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Unlike under nohup.
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = await trio.lowlevel.open_process(line, stdin=theirs, env=environment(), preexec_fn=lead_session)
    try:
        os.close(theirs)
        await written(out, "listening")
        os.close(ours)
        yield process, log
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def written(path: Path, text: str) -> None:
    file = trio.Path(path)
    while not await file.exists() or text not in await file.read_text():  # noqa: ASYNC110 - By another process.
        await trio.sleep(0.05)


def reloading(folder: Path, program: str) -> list[str]:
    """A command line for which SIGHUP has a meaning."""
    if program == "workers":
        return [*SERVE, "--workers=2"]
    pair = Certificates(folder).server
    return [*SERVE, f"--grpc-server-cert={pair.cert}", f"--grpc-server-key={pair.key}"]


@pytest.mark.parametrize("program", [pytest.param("workers", marks=pytest.mark.slow), "TLS"])
async def test_a_program_that_reloads_on_sighup_still_ends_when_its_terminal_closes(
    program: str, tmp_path: Path
) -> None:
    async with on_a_terminal(tmp_path, *reloading(tmp_path, program)) as (process, log):
        assert await process.wait() == 0
    assert "stopping" in log.read_text()


@pytest.mark.parametrize("program", [pytest.param("workers", marks=pytest.mark.slow), "TLS"])
async def test_a_program_that_nohup_has_started_outlives_its_terminal(program: str, tmp_path: Path) -> None:
    async with on_a_terminal(tmp_path, *reloading(tmp_path, program), how="nohup") as (process, log):
        await written(log, "replacing the workers" if program == "workers" else "looking at the TLS files")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
