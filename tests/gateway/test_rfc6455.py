"""RFC 6455, frame by frame: what a client may send, what it may not, and what it receives.

Every case of `tests.support.rfc6455` is sent to a gateway as raw bytes: over HTTP/1.1 in the case's segments, over
HTTP/2 in as many DATA frames. A complete message is echoed; a failed connection gets a close frame with the reason, and
is closed; in either case the next connection works.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
import trio.testing

from tests.support.frames import PING, Heard, RawStream, frame, hear, send
from tests.support.gateway import running_gateway
from tests.support.http2 import open_http2, websocket_over
from tests.support.quiet_clock import QuietClock
from tests.support.rfc6455 import GROUPS, LIMIT, Case
from tests.support.websocket import open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left", "no_close_timeout")

BIDIRECTIONAL = "/ws/stream/bidirectional"


@asynccontextmanager
async def over_http1(port: int) -> AsyncIterator[RawStream]:
    async with open_websocket(port, BIDIRECTIONAL) as socket:
        yield socket.stream


@asynccontextmanager
async def over_http2(port: int) -> AsyncIterator[RawStream]:
    async with open_http2(port) as http2:
        yield await websocket_over(http2, BIDIRECTIONAL)


async def outcome(case: Case, stream: RawStream) -> Heard:
    """What a client that sends this receives."""
    for segment in case.segments:
        await send(stream, segment)
        if len(case.segments) > 2:
            await trio.testing.wait_all_tasks_blocked()  # It is taken, before there is more.
    return await hear(stream)


@pytest.mark.parametrize("opened", [over_http1, over_http2], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("group", GROUPS)
async def test_every_case_of(
    group: str, opened: Callable[[int], AbstractAsyncContextManager[RawStream]], subtests: pytest.Subtests
) -> None:
    async with running_gateway(GRPC_MAX_MESSAGE_SIZE=str(LIMIT)) as gateway:
        for case in GROUPS[group]():
            with subtests.test(case.name):
                async with opened(gateway.port) as stream:
                    heard = await outcome(case, stream)
                if case.heard is not None:
                    assert heard == case.heard
                else:
                    assert (heard.texts, heard.pongs, heard.code) == ([], [], case.code)
        assert (await gateway.get("/healthz")).status == 200


async def test_a_flood_of_pings_unread_by_their_sender_stops_being_read(clock: QuietClock) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, BIDIRECTIONAL, buffer=4096) as socket:
        flood = 1000 * frame(PING, b"x" * 125)
        for _ in range(1000):
            with trio.move_on_after(1) as waiting:
                await socket.stream.send_all(flood)
            if waiting.cancelled_caught:
                break
        else:
            raise AssertionError("130 MB of pings were taken")
        # In the end the gateway gives up on it, though it never gets to read again.
        await trio.sleep(200)
        assert gateway.server.calls == 0
