"""What shows upstream's faults in how a connection is held and ended: each checks whether the fault is there."""

from functools import partial

import hpack
import trio
from hyperframe.frame import RstStreamFrame

from echo.gateway.hypercorn_compat import PATIENCE
from tests.gateway.hypercorn_compat.clients import answered, connected, get, heard, upgraded
from tests.gateway.hypercorn_compat.in_process import (
    FOR_EVER,
    Receive,
    Running,
    Scope,
    Send,
    accept,
    answer,
    as_quart_does,
    hello,
    send_body,
    serving,
    until_left,
)
from tests.support import faults
from tests.support.frames import close
from tests.support.hostile import WIDE
from tests.support.http2 import open_http2, websocket_over
from tests.support.pair import PREFACE
from tests.support.quiet_clock import quiet
from tests.support.raw import raw_client

PIECE = b"x" * 65_536
FEW = 100


async def within(seconds: float, event: trio.Event) -> bool:
    """Whether it happens in that time."""
    with trio.move_on_after(seconds):
        await event.wait()
    return event.is_set()


# Containment


async def one_connection_ends_all(fault: faults.Input) -> bool:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send) if scope["type"] != "http" else await answer(send, b"UNIMPLEMENTED")

    async with serving(app) as running:
        await faults.inflict(running.port, fault)
        await quiet()
        return running.died


a_byte_behind_an_upgrade = partial(one_connection_ends_all, faults.upgrade_with_a_byte_behind)
data_after_the_response = partial(one_connection_ends_all, faults.data_after_the_response)
priority_on_idle_streams = partial(one_connection_ends_all, faults.priority_on_idle_streams)
connect_without_a_path = partial(one_connection_ends_all, faults.connect_without_a_path)


# Outlet


class Endless:
    """An application whose response never ends by itself."""

    def __init__(self) -> None:
        self.ended = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await as_quart_does(self._run)(scope, receive, send)
        finally:
            self.ended.set()

    async def _run(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
        while True:
            await send_body(send, PIECE)
            await trio.lowlevel.checkpoint()


async def a_client_that_takes_nothing_is_kept() -> bool:
    app = Endless()
    async with serving(app) as running, connected(running.port, buffer=4096) as stream:
        await stream.send_all(get())
        return not await within(2 * PATIENCE, app.ended)


async def a_client_that_takes_nothing_holds_up_the_end() -> bool:
    async with serving(Endless()) as running, connected(running.port, buffer=4096) as stream:
        await stream.send_all(get())
        await quiet()
        running.stop.set()
        return not await within(PATIENCE / 2, running.ended)


class Steps(trio.abc.Instrument):
    """Counts how often a task is scheduled."""

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.count = 0
        self._task = task

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self._task


async def a_send_is_a_trip_through_the_scheduler() -> bool:
    counted: list[int] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": False})
        steps = Steps(trio.lowlevel.current_task())
        trio.lowlevel.add_instrument(steps)
        for _ in range(FEW):
            await send_body(send, b"x")
        trio.lowlevel.remove_instrument(steps)
        counted.append(steps.count)
        await send_body(send, b"", more=False)

    async with serving(app) as running:
        await answered(running.port, get("Connection: close"))
    return counted[0] >= FEW


async def a_cancelled_send_garbles_later_headers() -> bool:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        headers = [(b"x-path", path.encode()), (b"x-same", b"same")]
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": False})
        while path == "/much":
            await send_body(send, PIECE)
        await send_body(send, b"", more=False)

    def request(path: str) -> list[tuple[str, str]]:
        return [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", path)]

    garbled = False
    try:
        async with serving(as_quart_does(app)) as running, raw_client(running.port, begin=PREFACE + WIDE) as client:
            await client.send(client.head(1, request("/much"), end=True))
            await client.until(lambda: client.kinds["Data"] > 0)
            client.deaf = True
            await quiet()  # Its response is stuck,
            await client.send(client.head(3, request("/three"), end=True))
            await quiet()  # and this one waits behind it,
            await client.send(RstStreamFrame(3, error_code=8))
            await quiet()  # and is cancelled.
            await client.send(RstStreamFrame(1, error_code=8), client.head(5, request("/five"), end=True))
            client.deaf = False
            fields = (await client.heard(5)).fields
            garbled = (fields.get("x-path"), fields.get("x-same")) != ("/five", "same")
    except* hpack.HPACKError:
        garbled = True
    return garbled


# Liveness


async def open_websocket_app(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await accept(send, ping_interval=20)
    await until_left(receive)


async def pings_outlive_their_websockets() -> bool:
    async with serving(open_websocket_app, websocket_ping_interval=20) as running, open_http2(running.port) as http2:
        before = trio.lowlevel.current_statistics().tasks_living
        for _ in range(10):
            await (await websocket_over(http2, "/")).send_all(close(1000))
        await quiet()
        return trio.lowlevel.current_statistics().tasks_living - before >= 10


async def a_silent_websocket_is_kept() -> bool:
    async with serving(open_websocket_app, websocket_ping_interval=20) as running, connected(running.port) as stream:
        await upgraded(stream)
        return not (await heard(stream))[1]


async def a_long_call_is_cut_off_where_silent_websockets_are() -> bool:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await open_websocket_app(scope, receive, send)
        else:
            await trio.sleep(3 * PATIENCE)
            await answer(send)

    async with serving(as_quart_does(app), websocket_ping_interval=20, read_timeout=PATIENCE) as running:
        async with connected(running.port) as stream:
            await upgraded(stream)
            assert (await heard(stream))[1]
        return b"hello" not in (await answered(running.port, get()))[0]


# Endings


async def stays_open(request: bytes) -> bool:
    """Whether a connection does, on which this was asked and answered."""
    async with serving(as_quart_does(hello)) as running:
        data, closed = await answered(running.port, request)
        assert b"hello" in data
        return not closed


after_its_last_response_it_stays_open = partial(stays_open, get("Connection: close"))
an_idle_connection_stays_open = partial(stays_open, get())


async def a_connection_is_closed_before_its_first_request() -> bool:
    async with serving(hello) as running, connected(running.port) as stream:
        await quiet()
        running.stop.set()
        await trio.sleep(0.5)
        try:
            await stream.send_all(get())
        except trio.BrokenResourceError:
            return True
        return b"hello" not in (await heard(stream))[0]


# Tasks and their queues

UPLOAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def upload(running: Running, chunks: int) -> bool:
    """Send so many chunks, of as many as are wanted; tells whether the server closes the connection some time."""
    async with connected(running.port) as stream:
        await stream.send_all(UPLOAD)
        for _ in range(chunks):
            await stream.send_all(b"1\r\nx\r\n")
            await trio.sleep(0.01)
        return (await heard(stream))[1]


async def who_has_something_for_an_application_that_has_ended_waits() -> bool:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await trio.sleep(1)

    async with serving(app) as running:
        return not await upload(running, 20)


async def an_application_that_has_not_read_everything_waits_for_itself() -> bool:
    sent = trio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await trio.sleep(1)
        await answer(send)
        sent.set()

    async with serving(app) as running:
        await upload(running, 20)
        return not sent.is_set()


# The inbox


async def one_stream_holds_up_another() -> bool:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/deaf":
            await receive()
            await accept(send)
            await trio.sleep(FOR_EVER)
        await hello(scope, receive, send)

    async with serving(app) as running, open_http2(running.port) as http2:
        deaf, other = await websocket_over(http2, "/deaf"), await websocket_over(http2, "/")
        for _ in range(20):
            await deaf.send("x")
        await other.send("is anybody there?")
        with trio.move_on_after(10) as waiting:
            await other.receive()
        return waiting.cancelled_caught


async def a_client_that_has_ended_its_side_gets_no_response() -> bool:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await trio.sleep(0.1)
        await answer(send, b"hello")

    async with serving(as_quart_does(app)) as running, connected(running.port) as stream:
        await stream.send_all(get())
        await stream.send_eof()
        data, _ = await heard(stream)
    return b"hello" not in data
