"""Plain Hypercorn, in its own process, serves the application just as our own command does."""

import json
import signal

import pytest
import trio

from tests.support.faults import INPUTS, inflict
from tests.support.gateway import http_get
from tests.support.http2 import open_http2, websocket_over
from tests.support.hypercorn import APPLICATION, COMMAND, FLAGS, hypercorn
from tests.support.process import PATIENCE, ROOT, environment
from tests.support.websocket import Closed, open_websocket

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

BIDIRECTIONAL = "/ws/stream/bidirectional"
HELLO = '{"stream_id":"a","message":"hi"}'


async def test_it_serves_and_says_goodbye() -> None:
    async with hypercorn() as running:
        port, process = running.port, running.process
        assert (await http_get(port, "/grpc/hi")).body.endswith(b":from server:hi:success:true")
        async with open_websocket(port, BIDIRECTIONAL) as socket:
            await socket.send(HELLO)
            assert '"response":"from server: hi"' in str(await socket.receive())
            process.send_signal(signal.SIGTERM)
            assert await socket.receive() == Closed(1001, "going away")
        with trio.fail_after(PATIENCE):
            assert await process.wait() == 0


async def test_it_says_goodbye_over_http2_as_well() -> None:
    async with hypercorn() as running, open_http2(running.port) as http2:
        sockets = [await websocket_over(http2, BIDIRECTIONAL) for _ in range(3)]
        running.process.send_signal(signal.SIGTERM)
        for socket in sockets:
            assert await socket.receive() == Closed(1001, "going away")


async def test_it_outlives_the_inputs_that_would_end_it() -> None:
    async with hypercorn(GRPC_MAX_MESSAGE_SIZE="100KiB") as running:
        port = running.port
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


async def test_without_the_trio_worker_it_stops_and_says_what_to_do() -> None:
    command = [*COMMAND, "--bind", "127.0.0.1:0", "--workers", "0", APPLICATION]
    with trio.fail_after(PATIENCE):
        ended = await trio.run_process(command, capture_stderr=True, cwd=ROOT, env=environment(), check=False)
    assert ended.returncode != 0
    assert "the gateway runs on trio only: start it with hypercorn --worker-class trio" in ended.stderr.decode()


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
    command = [*COMMAND, *FLAGS, "--workers", "0", APPLICATION]
    ended = await trio.run_process(
        command, capture_stdout=True, capture_stderr=True, cwd=ROOT, env=environment(**variables), check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr.decode()) == (2, b"", line)
