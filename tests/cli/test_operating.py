"""What an operator arranges around the programs: probes in plain text, sockets, several servers, pings, limits."""

import json
import signal
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar
from urllib.request import urlopen

import pytest
import trio
from websockets.sync.client import connect
from websockets.typing import Origin

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.pb.grpc.health.v1 import HealthCheckRequest, HealthCheckResponse, HealthStub
from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, Status, bind, open_channel
from echo.rpc.health import NOT_SERVING, SERVING
from tests.support.chat import chat, say
from tests.support.process import PATIENCE, running
from tests.support.tls import Certificates

T = TypeVar("T")

SERVE = ["serve", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0"]
UP = ["up", *SERVE[1:], "--http-bind", "127.0.0.1", "--http-port", "0"]
HELLO = '{"stream_id":"a","message":"hi"}'
GATEWAY = ["gateway", "--http-bind", "127.0.0.1", "--http-port", "0"]


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    """A time limit, so that a test that waits in vain fails with a traceback."""
    with trio.fail_after(3 * PATIENCE):
        yield


async def in_thread(function: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(function, abandon_on_cancel=True)


async def get(url: str, context: ssl.SSLContext | None = None) -> str:
    def read() -> str:
        with urlopen(url, timeout=PATIENCE, context=context) as response:
            return str(response.read().decode())

    return await in_thread(read)


async def reply_to(channel: Channel, message: str) -> str:
    async with bind(ServerStub, channel) as stub:
        return (await stub.get_reply(Message(message))).response


async def serving_status(channel: Channel) -> int:
    async with bind(HealthStub, channel) as stub:
        return (await stub.check(HealthCheckRequest(""))).status


# A health port


async def test_the_health_port_speaks_plain_text_while_the_server_speaks_tls(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = ["--grpc-server-cert", certificates.server.cert, "--grpc-server-key", certificates.server.key]
    async with (
        running(*SERVE, *tls, GRPC_HEALTH_PORT="0") as echo,
        open_channel("127.0.0.1", await echo.grpc_port(), tls=certificates.calling()) as channel,
        open_channel("127.0.0.1", await echo.health_port()) as probe,
    ):
        assert await reply_to(channel, "hi") == "from server:hi"
        assert await serving_status(probe) == SERVING
        with pytest.raises(GRPCError) as raised:
            await reply_to(probe, "hi")
        assert raised.value.status is Status.UNIMPLEMENTED


async def test_the_health_port_says_not_serving_until_the_drain_is_over() -> None:
    async with (
        running(*SERVE, GRPC_HEALTH_PORT="0") as echo,
        open_channel("127.0.0.1", await echo.grpc_port()) as channel,
    ):
        health_port = await echo.health_port()
        async with open_channel("127.0.0.1", health_port) as probe, chat(channel) as stream:
            watch = probe.request(
                "/grpc.health.v1.Health/Watch", Cardinality.UNARY_STREAM, HealthCheckRequest, HealthCheckResponse
            )
            assert await say(stream, "before") == "from server: before"
            async with watch as watching:
                await watching.send_message(HealthCheckRequest(""), end=True)
                heard = [(await told(watching))]
                echo.send(signal.SIGTERM)
                heard.append(await told(watching))
                assert heard == [SERVING, NOT_SERVING]
                assert await watching.recv_message() is None
            async with open_channel("127.0.0.1", health_port) as late:  # A probe makes a new connection each time.
                assert await serving_status(late) == NOT_SERVING
            assert await say(stream, "after") == "from server: after"
            await stream.end()
            assert await stream.recv_message() is None
        assert await echo.status() == 0
    assert "Traceback" not in echo.stderr


async def told(watch: ClientStream[HealthCheckRequest, HealthCheckResponse]) -> int:
    response = await watch.recv_message()
    assert response is not None
    return response.status


async def test_without_its_setting_no_health_port_is_opened() -> None:
    async with running(*SERVE) as echo:
        await echo.grpc_port()
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0
    assert '"health"' not in echo.stdout


@pytest.mark.parametrize("program", ["serve", "up"])
async def test_a_health_port_that_is_taken_is_one_line_and_status_2(program: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with running(*(SERVE if program == "serve" else UP), GRPC_HEALTH_PORT=str(port)) as echo:
            assert await echo.status() == 2
            await echo.logged("\n")
    names = "(--grpc-server-bind, GRPC_HEALTH_PORT)"
    assert echo.stderr == f"echo: cannot listen on 127.0.0.1:{port} {names}: Address already in use\n"
    assert echo.stdout == ""


# The environment


async def test_a_pod_beside_a_service_of_the_server_s_name_starts_and_a_typing_error_is_pointed_out() -> None:
    links = {"GRPC_SERVER_PORT": "tcp://10.0.0.1:80", "GRPC_SERVER_SERVICE_HOST": "10.0.0.1"}
    async with running("gateway", *GATEWAY[1:], **links, SHUTDOWN_GRASE="1s") as echo:
        await echo.http_port()
        await echo.logged(r"^.*\"info\".*GRPC_SERVER_PORT=tcp://10.0.0.1:80 .* calling port 80.*$")
        await echo.logged(r"^.*\"warning\".*SHUTDOWN_GRASE is not a setting; did you mean SHUTDOWN_GRACE\?.*$")
        await echo.printed(r"localhost:80\b")


# Unix sockets, several servers


async def test_server_and_gateway_meet_at_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    bind_to = ["serve", "--grpc-server-bind", f"unix:{path}"]
    async with running(*bind_to, GRPC_SERVER_SOCKET_MODE="600") as server:
        assert (await server.announced("grpc"))["address"] == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with running(*GATEWAY, GRPC_SERVER_HOST=f"unix:{path}", GRPC_SERVER_PORT="0") as gateway:
            port = await gateway.http_port()
            assert (await gateway.announced("gateway"))["server"] == f"unix:{path}"
            assert (await get(f"http://127.0.0.1:{port}/grpc/hi")).endswith(":from server:hi:success:true")
            assert await get(f"http://127.0.0.1:{port}/readyz") == "Hello!"
        async with running(*bind_to) as another:
            assert await another.status() == 2
            await another.logged("\n")
        assert another.stderr == f"echo: cannot listen on unix:{path} (--grpc-server-bind): Address already in use\n"
        server.send(signal.SIGTERM)
        assert await server.status() == 0
    assert not path.exists()


async def test_a_server_that_was_killed_does_not_keep_the_next_one_from_its_socket(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    up = ["up", "--grpc-server-bind", f"unix:{path}", "--http-bind", "127.0.0.1", "--http-port", "0"]
    async with running(*up) as echo:
        await echo.http_port()
        echo.send(signal.SIGKILL)
        assert await echo.status() == -signal.SIGKILL
    assert path.exists()
    async with running(*up) as echo:
        port = await echo.http_port()
        assert (await get(f"http://127.0.0.1:{port}/grpc/hi")).endswith(":from server:hi:success:true")


async def test_a_file_in_the_place_of_the_socket_is_one_line_and_status_2(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    async with running("serve", GRPC_SERVER_BIND=f"unix:{path}") as echo:
        assert await echo.status() == 2
        await echo.logged("\n")
    assert echo.stderr == (
        f"echo: cannot listen on unix:{path} (GRPC_SERVER_BIND): The path exists and is not a socket\n"
    )
    assert path.read_text() == "precious"


async def test_a_gateway_of_several_servers_goes_on_when_one_ends() -> None:
    async with running(*SERVE) as one, running(*SERVE) as other:
        hosts = f"127.0.0.1:{await one.grpc_port()},127.0.0.1:{await other.grpc_port()}"
        async with running(*GATEWAY, GRPC_SERVER_HOST=hosts) as gateway:
            url = f"http://127.0.0.1:{await gateway.http_port()}/grpc/hi"
            assert (await gateway.announced("gateway"))["server"] == hosts.replace(",", ", ")
            assert (await get(url)).endswith(":from server:hi:success:true")
            for server in (one, other):
                server.send(signal.SIGTERM)
                assert await server.status() == 0
                if server is one:
                    assert (await get(url)).endswith(":from server:hi:success:true")


# Pings


async def test_up_permits_its_own_gateway_s_pings() -> None:
    async with running(*UP, GRPC_CLIENT_KEEPALIVE="true", GRPC_CLIENT_KEEPALIVE_TIME="20ms") as echo:
        url = f"ws://127.0.0.1:{await echo.http_port()}/ws/stream/bidirectional"

        def idle() -> list[str]:
            with connect(url) as client:
                said = []
                for message in ("one", "two"):
                    client.send(json.dumps({"stream_id": "a", "message": message}))
                    said.append(str(json.loads(client.recv(timeout=PATIENCE))["response"]))
                    with pytest.raises(TimeoutError):  # Time for a dozen pings.
                        client.recv(timeout=0.25)
                return said

        assert await in_thread(idle) == ["from server: one", "from server: two"]
    assert "too_many_pings" not in echo.stderr


# TLS of the gateway


async def test_the_gateway_speaks_https_and_wss(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    trusting = ssl.create_default_context(cafile=certificates.ca)
    tls = {"HTTP_CERT": certificates.server.cert, "HTTP_KEY": certificates.server.key}
    async with running(*UP, **tls) as echo:
        port = await echo.http_port()
        announced = await echo.announced("gateway")
        assert announced["security"] == "TLS"
        assert announced["attempts"] == [
            f"curl -k https://127.0.0.1:{port}/grpc/hi",
            f"wscat --no-check -c wss://127.0.0.1:{port}/ws/stream/bidirectional -x {HELLO!r} -w 1",
        ]
        await echo.printed(rf'"url": "https://127.0.0.1:{port}/"')
        assert (await get(f"https://127.0.0.1:{port}/grpc/hi", trusting)).endswith(":from server:hi:success:true")

        def talk() -> str:
            own = Origin(f"https://127.0.0.1:{port}")
            url = f"wss://127.0.0.1:{port}/ws/stream/bidirectional"
            with connect(url, ssl=trusting, origin=own) as client:
                client.send('{"stream_id":"a","message":"hi"}')
                return str(client.recv(timeout=PATIENCE))

        assert '"response":"from server: hi"' in await in_thread(talk)
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0
    assert "Traceback" not in echo.stderr
