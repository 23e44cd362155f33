"""Plain Hypercorn, as a process of its own, serves the application as well as our own command does."""

import json
import re
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE

import pytest
import trio
import trustme
from websockets.sync.client import connect
from websockets.typing import Origin

from echo.rpc import Server
from echo.services import echo_services
from tests.support.faults import INPUTS, inflict
from tests.support.gateway import http_get
from tests.support.process import PATIENCE, ROOT, environment
from tests.support.serving import LOOPBACK, serving
from tests.support.websocket import Closed, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

BIDIRECTIONAL = "/ws/stream/bidirectional"
HELLO = '{"stream_id":"a","message":"hi"}'
COMMAND = [sys.executable, "-m", "hypercorn", "--worker-class", "trio", "--bind", f"{LOOPBACK}:0", "echo.gateway:app"]


@asynccontextmanager
async def hypercorn(*flags: str, **variables: str) -> AsyncIterator[tuple[trio.Process, int]]:
    """Hypercorn with the application, in front of a server of echo's; gives the process and its port."""
    async with serving(Server(echo_services().services)) as grpc_port, trio.open_nursery() as nursery:
        settings = environment(GRPC_SERVER_HOST=LOOPBACK, GRPC_SERVER_PORT=str(grpc_port), **variables)
        start = partial(trio.run_process, [*COMMAND, *flags], stderr=PIPE, cwd=ROOT, env=settings, check=False)
        process: trio.Process = await nursery.start(start)
        log = b""
        with trio.fail_after(PATIENCE):
            assert process.stderr is not None
            while (found := re.search(rb"Running on https?://127.0.0.1:(\d+) ", log)) is None:
                log += await process.stderr.receive_some(10_000)
        nursery.start_soon(drop, process.stderr)
        yield process, int(found[1])
        process.terminate()


async def drop(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass


async def test_it_serves_and_says_goodbye() -> None:
    async with hypercorn() as (process, port):
        assert (await http_get(port, "/grpc/hi")).body.endswith(b":from server:hi:success:true")
        async with open_websocket(port, BIDIRECTIONAL) as socket:
            await socket.send(HELLO)
            assert '"response":"from server: hi"' in str(await socket.receive())
            process.send_signal(signal.SIGTERM)
            assert await socket.receive() == Closed(1001, "going away")
        with trio.fail_after(PATIENCE):
            assert await process.wait() == 0


async def test_it_outlives_the_inputs_that_would_end_it() -> None:
    async with hypercorn(GRPC_MAX_MESSAGE_SIZE="100KiB") as (_, port):
        async with open_websocket(port, BIDIRECTIONAL) as bystander:
            for number, fault in enumerate(INPUTS, 1):
                with trio.fail_after(PATIENCE):
                    await inflict(port, fault)
                await bystander.send(HELLO)
                assert json.loads(str(await bystander.receive()))["sequence_number"] == number
        async with open_websocket(port, BIDIRECTIONAL) as socket:
            await socket.send("x" * 200_000)  # Our limit, not Hypercorn's, which is 16 MiB.
            closed = await socket.receive()
            assert isinstance(closed, Closed)
            assert closed.code == 1009


async def test_its_own_settings_turn_tls_on(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    def talk(port: int) -> str:
        own = Origin(f"https://localhost:{port}")
        with connect(f"wss://localhost:{port}{BIDIRECTIONAL}", ssl=trusting, origin=own) as client:
            client.send(HELLO)
            return str(client.recv(timeout=PATIENCE))

    async with hypercorn("--certfile", str(tmp_path / "cert.pem"), "--keyfile", str(tmp_path / "key.pem")) as (_, port):
        assert '"response":"from server: hi"' in await trio.to_thread.run_sync(talk, port)


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"HTTP_PORT": "x"}, "echo: HTTP_PORT: 'x' is not a port (0 to 65535)\n"),
        (
            {"GRPC_SERVER_TLS": "true", "GRPC_CLIENT_CA": "/no/ca.pem"},
            "echo: GRPC_CLIENT_CA: '/no/ca.pem' cannot be read: No such file or directory\n",
        ),
    ],
)
async def test_wrong_settings_are_one_line_and_status_2(variables: dict[str, str], line: str) -> None:
    # With worker processes, Hypercorn's own process forgets their status and ends with 0.
    command = [*COMMAND, "--workers", "0"]
    ended = await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, cwd=ROOT, env=environment(**variables), check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr.decode()) == (2, b"", line)
