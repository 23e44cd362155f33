"""The same over HTTP/2: requests, and WebSockets by extended CONNECT (RFC 8441)."""

import gc

import pytest
import trio
import trio.testing

from echo.gateway.hypercorn_compat import CLOSE_GRACE, CLOSE_TIMEOUT, PATIENCE
from echo.gateway.hypercorn_compat.websocket_stream import WebSocketStream
from tests.support.frames import PING, close, frame
from tests.support.gateway import running_gateway
from tests.support.http2 import open_http2, websocket_over
from tests.support.quiet_clock import QuietClock
from tests.support.streams import HELLO, Patient
from tests.support.websocket import Closed

pytestmark = pytest.mark.usefixtures("nothing_left")

BIDIRECTIONAL = "/ws/stream/bidirectional"
KEPT = 620  # Seconds, by default.


async def test_requests_over_http2() -> None:
    async with running_gateway() as gateway, open_http2(gateway.port) as http2:
        status, body = await http2.get("/grpc/a%2Fb")
        assert status == 200
        assert body.endswith(b":from server:a/b:success:true")
        assert await http2.get("/readyz") == (200, b"Hello!")
        assert (await http2.get("/grpc/x", [("grpc-timeout", "soon")]))[0] == 400


async def test_websockets_over_http2_beside_each_other() -> None:
    async with running_gateway() as gateway, open_http2(gateway.port) as http2:
        sockets = [await websocket_over(http2, BIDIRECTIONAL) for _ in range(3)]
        for number in (1, 2):
            for socket in sockets:
                assert socket.status == 200
                await socket.send(HELLO)
                assert f'"sequence_number":{number}' in str(await socket.receive())
        for socket in sockets:
            await socket.send("")
            assert await socket.receive() == Closed(1000)
        assert (await http2.get("/healthz"))[0] == 200


async def test_the_summary_and_the_errors_over_http2() -> None:
    async with running_gateway(GRPC_MAX_MESSAGE_SIZE="20KiB") as gateway, open_http2(gateway.port) as http2:
        socket = await websocket_over(http2, "/ws/stream/client")
        await socket.send(HELLO)
        await socket.send("")
        assert '"response":"from server: received 1 messages"' in str(await socket.receive())
        assert await socket.receive() == Closed(1000)
        socket = await websocket_over(http2, BIDIRECTIONAL)
        await socket.send("{}")
        assert await socket.receive() == Closed(1011, "INVALID_ARGUMENT: stream_id is required")
        socket = await websocket_over(http2, BIDIRECTIONAL)
        await socket.send("x" * 40_000)
        assert await socket.receive() == Closed(1009, "message too big")


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        (BIDIRECTIONAL, [("origin", "http://evil.test")], 403),
        (BIDIRECTIONAL, [("origin", "http://gateway.test")], 200),
        (BIDIRECTIONAL, [("grpc-timeout", "soon")], 400),
        ("/ws/nothing", [], 404),
    ],
)
async def test_handshakes_over_http2(target: str, headers: list[tuple[str, str]], status: int) -> None:
    async with running_gateway() as gateway, open_http2(gateway.port) as http2:
        assert (await websocket_over(http2, target, headers)).status == status
        assert (await http2.get("/healthz"))[0] == 200


async def test_closed_websockets_leave_no_stream_open() -> None:
    async with running_gateway() as gateway, open_http2(gateway.port) as http2:
        for _ in range(150):  # More than may be open at once.
            socket = await websocket_over(http2, BIDIRECTIONAL)
            assert socket.status == 200
            await socket.close()
        assert (await http2.get("/healthz"))[0] == 200


async def test_what_comes_after_the_response_does_not_reach_the_connection_s_other_streams() -> None:
    async with running_gateway() as gateway, open_http2(gateway.port) as http2:
        socket = await websocket_over(http2, BIDIRECTIONAL)
        for number in range(1, 11):
            head = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/healthz")]
            stream_id = await http2.request(head, end=False)
            while stream_id not in http2.over:
                await http2.receive()
            await http2.send(stream_id, b"x" * 10_000)  # More in all than the connection's window.
            await socket.send(HELLO)
            assert f'"sequence_number":{number}' in str(await socket.receive())


async def test_a_client_without_a_window_for_answers_is_dropped(clock: QuietClock) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, open_http2(gateway.port) as http2:
        http2.starve()
        socket = await websocket_over(http2, BIDIRECTIONAL)
        await http2.send(socket.stream_id, 400 * frame(PING, b"x" * 125))
        with pytest.raises((EOFError, trio.BrokenResourceError)):  # A reset, if some of the pings lay unread.
            while True:
                await http2.receive()
        # The connection itself is then idle: nothing waits for that window any more.
        assert service.ended_at < 2 * PATIENCE
        assert trio.current_time() < service.ended_at + KEPT + 1


@pytest.mark.parametrize("how", ["stream", "end", "connection"])
async def test_a_reset_of_stream_or_connection_cancels_the_call(how: str) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway:
        async with open_http2(gateway.port) as http2:
            socket = await websocket_over(http2, BIDIRECTIONAL)
            await socket.send(HELLO)
            await socket.receive()
            if how != "connection":
                await (http2.reset if how == "stream" else http2.end)(socket.stream_id)
                await service.ended.wait()
                assert (await http2.get("/healthz"))[0] == 200
        await service.ended.wait()
        assert service.cancelled == 1


async def test_a_silent_peer_is_dropped_with_all_its_websockets(clock: QuietClock) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, open_http2(gateway.port) as http2:
        for _ in range(3):
            await websocket_over(http2, BIDIRECTIONAL)
        silent_since = trio.current_time()
        await service.ended.wait()
        assert PATIENCE <= service.ended_at - silent_since < PATIENCE + 1
        await trio.sleep(1)
        assert service.cancelled == 3


async def test_an_idle_connection_without_websockets_is_closed_in_good_order(clock: QuietClock) -> None:
    async with running_gateway() as gateway, open_http2(gateway.port) as http2:
        assert (await http2.get("/healthz"))[0] == 200
        with pytest.raises(EOFError):
            while True:
                await http2.receive()
        assert KEPT <= trio.current_time() < KEPT + 1


async def test_answers_that_no_window_was_opened_for_end_with_their_connection(clock: QuietClock) -> None:
    async with running_gateway([Patient()]) as gateway:
        async with open_http2(gateway.port) as http2:
            http2.starve()
            socket = await websocket_over(http2, BIDIRECTIONAL)
            await http2.send(socket.stream_id, close(1000, b""))
            await trio.sleep(1)
        await trio.sleep(CLOSE_TIMEOUT + 2 * CLOSE_GRACE)
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, WebSocketStream)]
