"""The probe's WebSocket client and its plain GET, against the gateway and against invalid answers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from echo.close_codes import ABNORMAL
from echo.probe.line import UnreachableError
from echo.probe.path import NoGatewayError, Path
from echo.probe.target import Target
from echo.probe.websocket import Closed, RefusedError, WebSocket
from tests.probe.paths import no_tls
from tests.support.gateway import running_gateway
from tests.support.serving import LOOPBACK

ECHO = "/ws/stream/bidirectional"


@asynccontextmanager
async def path_to_a_gateway() -> AsyncIterator[Path]:
    async with running_gateway() as gateway:
        yield Path(Target(LOOPBACK, 1), no_tls, gateway=Target(LOOPBACK, gateway.port))


async def echoed(socket: WebSocket, text: str) -> str:
    assert await socket.send(json.dumps({"stream_id": "a", "message": text}))
    answer = await socket.receive()
    assert isinstance(answer, str)
    return str(json.loads(answer)["response"])


async def test_messages_pings_and_a_close_go_both_ways() -> None:
    async with path_to_a_gateway() as path, path.websocket(ECHO) as socket:
        await socket.ping(b"there?")
        assert await echoed(socket, "hi") == "from server: hi"
        assert [payload for _, payload in socket.pongs] == [b"there?"]
        await socket.close(3000, "enough")
        closed = await socket.receive()
        assert isinstance(closed, Closed)
        assert closed.code == 3000
        assert not await socket.send("more")


async def test_fragments_are_one_message_and_large_ones_arrive() -> None:
    async with path_to_a_gateway() as path, path.websocket(ECHO) as socket:
        await socket.send('{"stream_id":"a",', finished=False)
        await socket.send('"message":"in two"}')
        answer = await socket.receive()
        assert isinstance(answer, str)
        assert "in two" in answer
        assert len(await echoed(socket, "x" * 300_000)) > 300_000


async def test_a_tunnel_through_http2_is_a_websocket_too() -> None:
    async with path_to_a_gateway() as path, path.gateway_http2() as connection:
        assert await connection.ready()
        assert connection.tunnels
        socket = await path.tunnel_on(connection, ECHO)
        assert await echoed(socket, "x" * 300_000) == "from server: " + "x" * 300_000
        await socket.close()
        assert isinstance(await socket.receive(), Closed)


async def test_a_refused_handshake_tells_what_was_answered_instead() -> None:
    async with path_to_a_gateway() as path:
        with pytest.raises(RefusedError) as raised:
            async with path.websocket("/healthz"):
                raise AssertionError
    assert raised.value.answer.status in (400, 404, 405)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"", "without an answer"), (b"SSH-2.0-x\r\n\r\n", "not valid HTTP/1.1"), (b"HTTP/1.1 200 OK\r\n", "answer")],
)
async def test_what_is_no_answer_is_reported_in_words(answer: bytes, words: str) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        await nursery.start(trio.serve_listeners, serve, [listener])
        port = listener.socket.getsockname()[1]
        path = Path(Target(LOOPBACK, 1), no_tls, gateway=Target(LOOPBACK, port))
        with pytest.raises(UnreachableError, match=words):
            await path.get("/healthz")
        nursery.cancel_scope.cancel()


async def test_an_end_without_a_close_frame_is_told_apart() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.aclose()

    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    closed = await WebSocket(ours).receive()
    assert isinstance(closed, Closed)
    assert closed.code == ABNORMAL


async def test_a_get_gives_status_headers_and_body() -> None:
    async with path_to_a_gateway() as path:
        answer = await path.get("/grpc/hi?x=1")
    assert answer.status == 200
    assert answer.header("content-type").startswith("text/plain")
    assert answer.body.endswith(b"from server:hi?x=1:success:true") or b"from server:hi" in answer.body


async def test_without_the_gateway_s_url_there_is_a_clear_word() -> None:
    with pytest.raises(NoGatewayError, match="--gateway"):
        await Path(Target(LOOPBACK, 1), no_tls).get("/healthz")
