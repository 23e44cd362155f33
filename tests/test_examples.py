"""The examples do what they say, and their generated code is what the generator makes today."""

import asyncio
import contextlib
import filecmp
import hashlib
import http.client
import importlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest
import trio
import trustme
from anyio.abc import SocketAttribute
from hypercorn.config import Config
from hypercorn.trio import serve

from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, Server, Status, open_tcp_listener
from echo.rpc.testing import memory_channel
from examples import auth, chat, todo_client, todo_server, upload, websocket_gateway
from examples.guide import on_asyncio
from examples.guide import tls as guide_tls
from examples.pb.chat.v1 import Line
from tests.support.generated import with_plugins
from tests.support.process import running_as
from tests.support.services import Run
from tests.support.tcp import reserved_port
from tests.support.websocket import open_websocket

EXAMPLES = Path(__file__).parents[1] / "examples"

RUN_ON_A_FREE_PORT = """
import runpy
import echo.rpc
from echo.rpc import open_tcp_listener
echo.rpc.open_tcp_listener = lambda host, port: open_tcp_listener(host, 0)
runpy.run_module("examples.{}", run_name="__main__")
"""


@asynccontextmanager
async def served(server: Server) -> AsyncIterator[int]:
    """The port of a server that runs as long as the block."""
    listener = await open_tcp_listener("127.0.0.1", 0)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, listener)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


def test_todos_are_added_and_watched(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        listener = await open_tcp_listener("127.0.0.1", 0)
        async with anyio.create_task_group() as tasks:
            await tasks.start(todo_server.serve, listener)
            port = listener.extra(SocketAttribute.local_port)
            await todo_client.main("buy milk", port)
            await todo_client.main("", port)
            tasks.cancel_scope.cancel()

    run(main)
    assert capsys.readouterr().out.splitlines() == [
        "added number 1",
        "1. buy milk",
        "INVALID_ARGUMENT: a to-do needs a title",
    ]


def joining(channel: Channel) -> ClientStream[Line, Line]:
    return channel.request("/chat.v1.Chat/Join", Cardinality.STREAM_STREAM, Line, Line)


def test_what_is_said_in_a_room_is_heard_by_everybody_in_it(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([chat.Chat()]) as channel, joining(channel) as ada, joining(channel) as bob:
            await ada.send_message(Line("tea", "ada", "hello?"))
            assert (await ada.recv_message()) == Line("tea", "ada", "hello?")
            await bob.send_message(Line("tea", "bob", "hello!"))
            assert (await ada.recv_message()) == (await bob.recv_message()) == Line("tea", "bob", "hello!")
            await ada.end()
            assert await ada.recv_message() is None
            await bob.end()

    run(main)


def test_rooms_do_not_hear_each_other_and_need_a_name(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([chat.Chat()]) as channel:
            async with joining(channel) as ada, joining(channel) as bob:
                await ada.send_message(Line("tea", "ada", "1"))
                await bob.send_message(Line("coffee", "bob", "2"))
                await bob.recv_message()
                await ada.send_message(Line("tea", "ada", "3"))
                heard = [await ada.recv_message(), await ada.recv_message()]
                assert heard == [Line("tea", "ada", "1"), Line("tea", "ada", "3")]
            with pytest.raises(GRPCError, match="must name a room"):
                async with joining(channel) as nobody:
                    await nobody.send_message(Line())
                    await nobody.recv_message()

    run(main)


def test_who_reads_too_slowly_has_to_leave_and_nobody_else(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([chat.Chat()]) as channel, joining(channel) as fast:
            with pytest.raises(GRPCError) as raised:
                async with joining(channel) as slow:
                    await slow.send_message(Line("tea", "slow", "here"))
                    await slow.recv_message()
                    for _ in range(chat.BACKLOG + 50):
                        await fast.send_message(Line("tea", "fast", "x" * 20_000))
                        await fast.recv_message()
                    async for _ in slow:
                        pass
            assert raised.value.status is Status.RESOURCE_EXHAUSTED
            await fast.send_message(Line("tea", "fast", "still here"))
            assert (await fast.recv_message()) == Line("tea", "fast", "still here")

    run(main)


def test_an_upload_tells_its_progress(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(1_000_000))

    async def main() -> None:
        assert await upload.main(file) == hashlib.sha256(file.read_bytes()).hexdigest()

    run(main)
    out = capsys.readouterr().out
    assert "\r65536 of 1000000 bytes" in out
    assert "\r1000000 of 1000000 bytes" in out


def test_only_calls_with_a_token_are_served(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(auth.main)
    assert capsys.readouterr().out.splitlines() == [
        "Todo(number=1, title='with a token (ada)')",
        "UNAUTHENTICATED: /todo.v1.Todos/Add requires a valid token",
    ]


async def test_a_starlette_application_calls_a_service() -> None:
    def post(port: int, body: str) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("POST", "/todos", body)
            response = connection.getresponse()
            return response.status, response.read()

    uvicorn = [sys.executable, "-m", "uvicorn", "examples.starlette_app:app", "--port", "0"]
    async with (
        served(Server([todo_server.Todos()])) as port,
        running_as(uvicorn, {**os.environ, "TODOS": f"127.0.0.1:{port}"}) as process,
    ):
        app = int((await process.logged(r"running on http://127\.0\.0\.1:(\d+)"))[1])
        answer = await trio.to_thread.run_sync(post, app, "buy milk")
        assert answer == (201, b'{"number":"1","title":"buy milk"}')
        answer = await trio.to_thread.run_sync(post, app, "")
        assert answer == (400, b'{"error":"a to-do needs a title"}')


async def test_browsers_join_the_chat_by_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = logging.getLogger("examples")  # Or Hypercorn adds handlers to a logger of the whole process.
    async with served(Server([chat.Chat()])) as port:
        monkeypatch.setenv("CHAT", f"127.0.0.1:{port}")
        async with trio.open_nursery() as nursery:
            bound: list[str] = await nursery.start(partial(serve, websocket_gateway.app, config))
            gateway = int(bound[0].rpartition(":")[2])
            async with open_websocket(gateway, "/rooms/tea?name=ada") as ada:
                assert await ada.receive() == "ada: is here"
                async with open_websocket(gateway, "/rooms/tea?name=bob") as bob:
                    assert await ada.receive() == "bob: is here"
                    await bob.send("hello")
                    assert await ada.receive() == "bob: hello"
            nursery.cancel_scope.cancel()


def test_generated_code_is_current(tmp_path: Path) -> None:
    protos = [path.name for path in (EXAMPLES / "proto").iterdir()]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", f"--python_betterproto_out={tmp_path}", *protos]
    subprocess.run(command, env=with_plugins(), check=True, cwd=EXAMPLES, capture_output=True, timeout=60)
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.py")]
    assert len(made) > 3
    assert [path for path in made if not filecmp.cmp(tmp_path / path, EXAMPLES / "pb" / path, shallow=False)] == []


@pytest.mark.parametrize("name", ["channels", "deadlines", "errors", "retries", "serving", "streams"])
def test_the_guide_s_programs_run(run: Run, name: str) -> None:
    run(importlib.import_module(f"examples.guide.{name}").main)


def test_the_guide_s_program_for_asyncio_runs(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(on_asyncio.main())
    assert capsys.readouterr().out.splitlines() == ["[1, 2]", "1. buy milk", "2. drink it", "that is all"]


def test_the_guide_s_program_with_tls_runs(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("server", "client"):
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    run(partial(guide_tls.main, tmp_path))
    assert "keep a secret" in capsys.readouterr().out


@pytest.mark.parametrize("make", ["grpclib", "grpcio"])
def test_programs_of_other_libraries_do_the_same_on_ours(
    run: Run, make: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with reserved_port() as port:
        asyncio.run(importlib.import_module(f"examples.moving.on_{make}").main(port))
        theirs = capsys.readouterr().out
        run(partial(importlib.import_module(f"examples.moving.from_{make}").main, port))
        assert capsys.readouterr().out == theirs


@pytest.mark.slow
@pytest.mark.parametrize(("program", "port"), [("todo_server", 50051), ("chat", 50052), ("proxy", 50053)])
def test_a_server_says_where_it_is_and_ctrl_c_ends_it_quietly(program: str, port: int) -> None:
    command = [sys.executable, "-u", "-c", RUN_ON_A_FREE_PORT.format(program)]
    with subprocess.Popen(command, cwd=EXAMPLES.parent, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"serving on 127.0.0.1:{port}; Ctrl-C stops it\n"
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=60)
        assert (process.returncode, said, complaint) == (0, "", "")
