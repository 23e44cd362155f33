"""Listening on a Unix socket: who owns the path, when it is replaced, and who may connect."""

import errno
import socket
import stat
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
import trio
import trio.testing

from echo.rpc import Server, open_channel, open_unix_listener
from tests.support.process import PATIENCE
from tests.support.services import ECHO, UNARY, BytesCodec, BytesStream, Service, unary
from tests.support.tls import Certificates
from tests.support.unix import listening_once, refused, serving_at

CODEC = BytesCodec()


async def test_calls_work_over_a_unix_socket_and_its_path_is_removed_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    async with serving_at(path) as channel:
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert await unary(channel, "One", b"hi") == b"hi"
    assert not path.exists()


async def test_a_handler_gets_a_peer_without_an_address(tmp_path: Path) -> None:
    async def who(stream: BytesStream) -> None:
        await stream.recv_message()
        await stream.send_message(str(stream.peer).encode())

    server = Server([Service(Who=(UNARY, who))], codec=CODEC)
    async with serving_at(tmp_path / "echo.sock", server) as channel:
        assert await unary(channel, "Who") == b"unix"


async def test_tls_works_over_a_unix_socket(tmp_path: Path) -> None:
    certificates, path = Certificates(tmp_path), tmp_path / "echo.sock"
    listener = await open_unix_listener(path, tls=certificates.serving())
    async with trio.open_nursery() as nursery:
        await nursery.start(Server([ECHO], codec=CODEC).serve, listener)
        async with open_channel(f"unix:{path}", tls=certificates.calling(), codec=CODEC) as channel:
            assert await unary(channel, "One", b"hi") == b"hi"
        nursery.cancel_scope.cancel()


async def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    listening_once(path)
    async with serving_at(path) as channel:
        assert await unary(channel, "One", b"hi") == b"hi"


async def test_a_path_where_another_process_listens_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    async with serving_at(path) as channel:
        assert (await refused(path)).errno == errno.EADDRINUSE
        assert await unary(channel, "One", b"hi") == b"hi"


async def test_a_listener_with_a_full_backlog_keeps_its_path(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(path))
        busy.listen(0)
        first.connect(str(path))  # The backlog is full.
        assert (await refused(path)).errno == errno.EADDRINUSE
    assert path.exists()


async def test_a_socket_of_another_type_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs:
        theirs.bind(str(path))
        assert (await refused(path)).errno == errno.EADDRINUSE
    assert path.exists()


@pytest.mark.parametrize("what", ["file", "folder", "link to a file", "dangling link"])
async def test_a_file_that_is_not_a_socket_is_left_alone(what: str, tmp_path: Path) -> None:
    path, file = tmp_path / "precious", tmp_path / "file"
    if what == "folder":
        path.mkdir()
    elif what == "file":
        path.write_text("data")
    else:
        if what == "link to a file":
            file.write_text("data")
        path.symlink_to(file)
    before = path.lstat()
    assert (await refused(path)).errno == errno.EEXIST
    assert path.lstat().st_ino == before.st_ino


async def test_a_missing_folder_is_a_system_error(tmp_path: Path) -> None:
    assert (await refused(tmp_path / "no" / "echo.sock")).errno == errno.ENOENT


@pytest.mark.parametrize("mode", [0o600, 0o666])
async def test_the_socket_has_the_permissions_asked_for(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    async with serving_at(path, mode=mode):
        assert stat.S_IMODE(path.stat().st_mode) == mode


async def test_closing_does_not_remove_another_socket_at_the_path(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    ours = await open_unix_listener(path)
    path.unlink()  # For instance by hand.
    async with serving_at(path) as channel:
        await ours.aclose()
        await ours.aclose()
        assert await unary(channel, "One", b"hi") == b"hi"


async def test_closing_ignores_a_path_that_is_already_gone(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    listener = await open_unix_listener(path)
    path.unlink()
    await listener.aclose()


def test_of_many_processes_that_find_a_dead_socket_one_gets_the_path(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    program = f"""
import sys, trio
from echo.transport.unix import bind_unix
sys.stdin.readline()
try:
    bound, listening = trio.run(bind_unix, {str(path)!r}, None, 10)
except OSError as error:
    print(error.errno, flush=True)
else:
    print("bound", flush=True)
    sys.stdin.readline()
"""
    listening_once(path)
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = []
        for process in processes:
            assert process.stdout is not None
            said.append(process.stdout.readline().strip())
        assert sorted(said) == [str(errno.EADDRINUSE)] * 5 + ["bound"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=PATIENCE)


async def test_cancelling_the_server_removes_the_path(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    async with trio.open_nursery() as nursery:
        await nursery.start(Server([ECHO], codec=CODEC).serve, await open_unix_listener(path))
        nursery.cancel_scope.cancel()
    assert not path.exists()


async def test_a_relative_path_is_used_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listener = await open_unix_listener("echo.sock")
    assert (tmp_path / "echo.sock").is_socket()
    await listener.aclose()
    assert not (tmp_path / "echo.sock").exists()


async def test_grpcio_calls_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"

    def ask() -> bytes:
        with grpc.insecure_channel(f"unix:{path}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            reply: bytes = channel.unary_unary("/test.Service/One")(b"hi", timeout=PATIENCE)
            return reply

    async with serving_at(path):
        assert await trio.to_thread.run_sync(ask) == b"hi"
