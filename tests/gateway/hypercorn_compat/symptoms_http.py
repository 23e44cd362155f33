"""What shows upstream's faults in HTTP/1.1 and HTTP/2: each tells whether the fault is there."""

from functools import partial

import h2.exceptions
import trio
from h2.errors import ErrorCodes
from hyperframe.frame import Frame, HeadersFrame, WindowUpdateFrame

from echo.gateway.hypercorn_compat import PATIENCE
from tests.gateway.hypercorn_compat.clients import H2C, KEY, UPGRADE, VERSION, answered, connected, get
from tests.gateway.hypercorn_compat.in_process import (
    FOR_EVER,
    Receive,
    Scope,
    Send,
    accept,
    answer,
    hello,
    send_body,
    send_close,
    serving,
    until_left,
)
from tests.gateway.hypercorn_compat.symptoms_connection import within
from tests.support.frames import CLOSE, parse
from tests.support.http2 import HTTP2, open_http2, websocket_over
from tests.support.http2_frames import INITIAL_WINDOW_SIZE, rst_stream, settings
from tests.support.pair import PREFACE
from tests.support.quiet_clock import quiet
from tests.support.raw import SETTINGS_ACK, Heard, raw_client

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]
WEBSOCKET = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "x"),
    (":path", "/"),
    ("sec-websocket-version", "13"),
]


async def lives(http2: HTTP2, seconds: float = FOR_EVER) -> bool:
    """Whether the connection does for so long."""
    with trio.move_on_after(seconds) as waiting:
        try:
            while True:
                await http2.receive()
        except (EOFError, trio.BrokenResourceError):
            pass
    return waiting.cancelled_caught


# The wrong protocol


async def tls_is_answered_in_plain_text() -> bool:
    async with serving(hello) as running, connected(running.port) as stream:
        await stream.send_all(b"\x16\x03\x01\x00\x05hello")
        return (await stream.receive_some(1000)).startswith(b"HTTP/")


# HTTP/1.1


async def no_websocket_for(*fields: str) -> bool:
    async with serving(hello) as running, connected(running.port) as stream:
        await stream.send_all(get(*fields, KEY, VERSION))
        return b"upgrade: websocket\r\n" not in (await stream.receive_some(1000)).lower()


async def h2c_for(*fields: str, version: str = "1.1") -> bool:
    async with serving(hello) as running:
        return (await answered(running.port, get(*fields, version=version)))[0].startswith(b"HTTP/1.1 101 ")


async def a_status_line_gives_no_reason() -> bool:
    async with serving(hello) as running:
        return (await answered(running.port, get()))[0].startswith(b"HTTP/1.1 200 \r\n")


only_the_last_connection_field_counts = partial(no_websocket_for, *UPGRADE[:2], "Connection: keep-alive")
only_the_last_upgrade_field_counts = partial(no_websocket_for, *UPGRADE[:2], "Upgrade: h2c")
upgrade_is_not_read_as_a_list = partial(no_websocket_for, "Connection: Upgrade", "Upgrade: h2c, websocket")
http10_is_upgraded = partial(h2c_for, *H2C, version="1.0")
h2c_without_connection_upgrade = partial(h2c_for, *H2C[1:])
h2c_without_settings = partial(h2c_for, *H2C[:2])
h2c_with_several_settings = partial(h2c_for, *H2C, H2C[2])
h2c_with_unsound_settings = partial(h2c_for, *H2C[:2], "HTTP2-Settings: AAI")
h2c_with_settings_that_may_not_be = partial(h2c_for, *H2C[:2], "HTTP2-Settings: AAIAAAAH")


# HTTP/2


async def a_connection_without_a_request_stays_open() -> bool:
    async with serving(hello) as running, open_http2(running.port) as http2:
        return await lives(http2)


async def a_request_too_many_closes_everything() -> bool:
    async with serving(hello, keep_alive_max_requests=10) as running, open_http2(running.port) as http2:
        socket = await websocket_over(http2, "/")
        with trio.move_on_after(FOR_EVER) as waiting:
            try:
                for _ in range(20):
                    await http2.get("/")
                await socket.send("hi")
                return await socket.receive() != "hi"
            except (EOFError, trio.BrokenResourceError, h2.exceptions.ProtocolError):
                return True
        return waiting.cancelled_caught


async def surplus_streams_end_the_others() -> bool:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await trio.sleep(1)
        await answer(send)

    async with serving(app, h2_max_concurrent_streams=5) as running, raw_client(running.port) as client:
        await client.send(*(client.head(stream_id, GET, end=True) for stream_id in range(1, 20, 2)))
        await trio.sleep(2)
        await quiet()
        first = [client.streams.get(stream_id, Heard()).ended for stream_id in range(1, 10, 2)]
        rest = [
            client.streams.get(stream_id, Heard()).reset == ErrorCodes.REFUSED_STREAM for stream_id in range(11, 20, 2)
        ]
        return not all(first + rest)


async def at_the_end_a_request_is_not_refused() -> bool:
    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await until_left(receive)

    async with serving(app) as running, raw_client(running.port) as client:
        await client.send(client.head(1, GET, end=True))
        await quiet()
        running.stop.set()
        await trio.sleep(0.5)
        await client.send(client.head(3, GET, end=True))
        await quiet()
        return client.streams.get(3, Heard()).reset != ErrorCodes.REFUSED_STREAM


async def streams_left_by_their_client_add_up() -> bool:
    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await until_left(receive)

    async with serving(app) as running, raw_client(running.port) as client:
        for stream_id in range(1, 2_201, 2):
            await client.send(client.head(stream_id, GET, end=True))
            if stream_id % 100 == 99:
                await quiet()
                await client.send(*(rst_stream(begun) for begun in range(stream_id - 98, stream_id + 1, 2)))
                await trio.sleep(1)
        await quiet()
        return client.closed


async def an_idle_connection_ends_unannounced() -> bool:
    async with serving(hello) as running, raw_client(running.port) as client:
        await client.send(client.head(1, GET, end=True))
        await client.heard(1)
        running.stop.set()
        await client.came(lambda: False)
        return not client.goaways


async def any_connect_is_taken_for_a_websocket() -> bool:
    kinds: list[object] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        kinds.append(scope["type"])

    async with serving(app) as running, open_http2(running.port) as http2:
        head = [field if field[0] != ":protocol" else (":protocol", "connect-udp") for field in WEBSOCKET]
        await http2.request(head, end=False)
        await quiet()
        return kinds == ["websocket"]


async def streams_to_depend_on_add_up() -> bool:
    async with serving(hello) as running, raw_client(running.port) as client:
        for stream_id in range(1, 2_300, 2):
            frame, _ = Frame.parse_frame_header(memoryview(head := client.head(stream_id, GET, end=True))[:9])
            assert isinstance(frame, HeadersFrame)
            frame.data, frame.depends_on = head[9:], 1_000_000 + stream_id
            frame.flags.add("PRIORITY")
            await client.send(frame)
        await client.came(lambda: client.complete == 1_150)
        return client.complete < 1_150


async def a_stream_left_by_its_client_is_never_ended() -> bool:
    async with serving(hello, h2_max_concurrent_streams=5) as running, open_http2(running.port) as http2:
        try:
            for _ in range(10):
                await http2.end((await websocket_over(http2, "/")).stream_id)
                await quiet()
        except h2.exceptions.TooManyStreamsError:
            return True
        return False


async def a_response_left_by_its_application_is_never_ended() -> bool:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
        await send_body(send, b"x")
        raise RuntimeError

    async with serving(app) as running, open_http2(running.port) as http2:
        stream_id = await http2.request(GET)
        await lives(http2)
        return stream_id not in http2.over


async def a_request_refused_at_once_keeps_the_connection_busy() -> bool:
    async with serving(hello) as running, open_http2(running.port) as http2:
        await http2.request([*WEBSOCKET[:-1], ("sec-websocket-version", "8")], end=False)
        return await lives(http2)


async def a_close_frame_is_lost_with_the_connection() -> bool:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(send, b"", 204)
            return
        await receive()
        await accept(send)
        await send_close(send)
        await until_left(receive)

    no_window = PREFACE + settings((INITIAL_WINDOW_SIZE, 0)) + SETTINGS_ACK
    async with serving(app) as running, raw_client(running.port, begin=no_window) as client:
        await client.send(client.head(1, WEBSOCKET))
        await quiet()
        await client.send(client.head(3, GET, end=True))
        await trio.sleep(PATIENCE / 2)
        await client.send(WindowUpdateFrame(1, window_increment=1000))
        await quiet()
        parsed = parse(client.streams[1].data)
        return parsed is None or parsed[0] != CLOSE


async def no_close_frame_is_sent_at_the_end() -> bool:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await accept(send)
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(1, shield=True):
                await send_close(send, 1001)

    async with serving(app) as running, open_http2(running.port) as http2:
        socket = await websocket_over(http2, "/")
        running.stop.set()
        try:
            while not http2.data[socket.stream_id]:
                await http2.receive()
        except (EOFError, trio.BrokenResourceError):
            pass
        return bytes(http2.data[socket.stream_id]) != b"\x88\x02\x03\xe9"


# The buffer to send from


async def a_buffer_grows_without_a_window() -> bool:
    pushed = 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal pushed
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
        for _ in range(200):
            await send_body(send, bytes(16_384))
            pushed += 1

    async with serving(app) as running, open_http2(running.port) as http2:
        http2.starve()
        await http2.request(GET)
        await lives(http2, PATIENCE / 2)
        return pushed == 200


async def a_response_waits_for_a_window_for_ever() -> bool:
    sent = trio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await answer(send)
        sent.set()

    async with serving(app) as running, open_http2(running.port) as http2:
        http2.starve()
        await http2.request(GET)
        await quiet()
        return not await within(FOR_EVER, sent)
