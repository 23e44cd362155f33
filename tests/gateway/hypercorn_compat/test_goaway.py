"""A connection of HTTP/2 that we end is announced with GOAWAY, so that clients know what to send again elsewhere."""

import pytest
import trio

from echo.gateway.hypercorn_compat import install
from tests.gateway.hypercorn_compat.in_process import Receive, Scope, Send, answer, serving
from tests.support.frames import close
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.http2_frames import data
from tests.support.quiet_clock import QuietClock, quiet
from tests.support.raw import RawConnection, raw_client

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/healthz")]
WEBSOCKET = [
    *[(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "x")],
    *[(":path", "/ws/stream/bidirectional"), ("sec-websocket-version", "13")],
]
NO_MORE = 2**31 - 1  # Every stream opened so far is served (RFC 9113 §6.8).


def announced(client: RawConnection) -> list[tuple[int, int]]:
    return [(goaway.last_stream_id, goaway.error_code) for goaway in client.goaways]


async def test_an_idle_connection_is_told_before_it_is_closed(clock: QuietClock) -> None:
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        await client.send(client.head(1, GET, end=True))
        await client.came(lambda: False)
        assert client.closed
        assert not client.broken
        assert announced(client) == [(1, 0)]


async def test_one_without_requests_is_told_too(clock: QuietClock) -> None:
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        await client.came(lambda: False)
        assert announced(client) == [(0, 0)]


async def draining(gateway: RunningGateway, client: RawConnection) -> None:
    """A WebSocket on stream 1, and the drain begun."""
    await client.send(client.head(1, WEBSOCKET))
    await client.until(lambda: 1 in client.streams)
    gateway.stop.set()
    await quiet()


async def test_a_drain_is_announced_and_what_is_open_goes_on(clock: QuietClock) -> None:
    async with running_gateway(SHUTDOWN_GRACE="100s") as gateway, raw_client(gateway.port) as client:
        await draining(gateway, client)
        assert announced(client) == [(NO_MORE, 0)]
        await client.send(client.head(3, GET, end=True))  # Sent before the client has read it.
        assert (await client.heard(3)).fields[":status"] == "200"
        await client.send(data(1, close(1000)))
        assert (await client.heard(1)).data == b"\x88\x02\x03\xe8"


async def test_at_its_end_clients_learn_what_was_served(clock: QuietClock) -> None:
    async with running_gateway(SHUTDOWN_GRACE="10s") as gateway, raw_client(gateway.port) as client:
        await draining(gateway, client)
        await client.send(client.head(3, GET, end=True))
        await client.came(lambda: False)
        assert announced(client)[:2] == [(NO_MORE, 0), (3, 0)]
        assert {code for _, code in announced(client)} == {0}
        assert client.streams[1].data == b"\x88\x0c\x03\xe9going away"


async def test_without_requests_the_drain_is_over_at_once(clock: QuietClock) -> None:
    async with running_gateway(SHUTDOWN_GRACE="10s") as gateway, raw_client(gateway.port) as client:
        await client.send(client.head(1, GET, end=True))
        await client.heard(1)
        began = trio.current_time()
        gateway.stop.set()
        await client.came(lambda: False)
        assert announced(client) == [(NO_MORE, 0), (1, 0)]
        await gateway.stopped.wait()
        assert trio.current_time() - began < 3


async def slow(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await trio.sleep(0.5)
    await answer(send)


@pytest.mark.usefixtures("clock")
async def test_plain_hypercorn_announces_its_end() -> None:
    install()
    async with serving(slow) as running, raw_client(running.port) as client:
        await client.send(client.head(1, GET, end=True))
        await quiet()
        running.stop.set()
        await quiet()
        assert announced(client)[:1] == [(1, 0)]
        assert (await client.heard(1)).data == b"hello"
