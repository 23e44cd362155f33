"""The folder of a Unix socket: its lock, if it has one, and its permissions."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from echo.rpc import Server, open_channel, open_unix_listener
from echo.transport import unix
from tests.support.services import ECHO, BytesCodec, unary
from tests.support.unix import listening_once, refused, serving_at

CODEC = BytesCodec()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another program has locked the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


async def test_a_lock_that_is_never_released_becomes_an_error(tmp_path: Path, quiet_clock: trio.abc.Clock) -> None:
    with locked(tmp_path):
        error = await refused(tmp_path / "echo.sock")
    assert isinstance(error, BlockingIOError)
    assert "Another program keeps the folder locked" in str(error)
    assert str(tmp_path) in str(error)
    assert trio.current_time() == pytest.approx(unix.PATIENCE, abs=0.5)
    async with serving_at(tmp_path / "echo.sock"):
        pass


async def test_a_lock_that_is_released_is_waited_for(tmp_path: Path) -> None:
    async def listen() -> None:
        async with await open_unix_listener(tmp_path / "echo.sock"):
            assert (tmp_path / "echo.sock").is_socket()

    async with trio.open_nursery() as nursery:
        with locked(tmp_path):
            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked()
            assert not (tmp_path / "echo.sock").exists()


async def test_waiting_for_a_lock_can_be_cancelled(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    with locked(tmp_path):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_unix_listener, tmp_path / "echo.sock")
            await trio.testing.wait_all_tasks_blocked(0.02)
            nursery.cancel_scope.cancel()  # Although the clock stands still: nothing waits for time to pass.
    assert not (tmp_path / "echo.sock").exists()


@contextmanager
def permitted(folder: Path, mode: int) -> Iterator[None]:
    """The folder has these permissions, and they apply: root's privileges are dropped meanwhile."""
    root = os.geteuid() == 0
    folder.chmod(mode)
    try:
        if root:
            try:
                os.seteuid(65_534)
            except OSError:  # Of a namespace that has no other user.
                pytest.skip("root may not become another user here")
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


async def test_a_folder_that_is_writable_but_not_readable_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # Others may not enter the folders above it.
    path = Path("echo.sock")
    with permitted(tmp_path, 0o333):
        with pytest.raises(PermissionError):
            os.close(os.open(".", os.O_RDONLY))
        listening_once(path)
        async with await open_unix_listener(path):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
    assert not (tmp_path / path).exists()


async def test_a_server_that_dropped_its_privileges_still_drains(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = Server([ECHO], codec=CODEC)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, await open_unix_listener("echo.sock"))
        async with open_channel("unix:echo.sock", codec=CODEC) as channel:
            assert await unary(channel, "One", b"hi") == b"hi"
            with permitted(tmp_path, 0o555):
                await server.drain(5)
    assert "cannot remove the socket echo.sock" in caplog.text


@pytest.mark.parametrize("name", ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EBADF"])
async def test_a_file_system_without_locks_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cannot_lock(name, monkeypatch)
    listening_once(tmp_path / "echo.sock")
    async with serving_at(tmp_path / "echo.sock") as channel:
        assert await unary(channel, "One", b"hi") == b"hi"


async def test_other_errors_of_a_lock_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cannot_lock("EIO", monkeypatch)
    assert (await refused(tmp_path / "echo.sock")).errno == errno.EIO


def cannot_lock(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(getattr(errno, name), name)

    monkeypatch.setattr(fcntl, "flock", flock)
