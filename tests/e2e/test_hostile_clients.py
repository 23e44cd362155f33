"""Hostile clients on real sockets: our server lives, a neighbour's connection serves, and nothing is left over.

What is wrong with one request ends that request: other calls on the same connection succeed. What is wrong with the
connection ends the connection.
"""

from collections.abc import Callable

import pytest

from echo.wire.message import encode_message
from tests.support.http2_frames import (
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    continuation,
    data,
    frame,
    goaway,
    ping,
    priority,
    push_promise,
    rst_stream,
    settings,
    window_update,
)
from tests.support.raw import RawConnection, raw_client
from tests.support.target import BIDIRECTIONAL, HELLO, HOLD, POUR, request, target

MANY = 10_000
HI = encode_message(HELLO)

Script = Callable[[RawConnection], bytes]


def says(*parts: bytes) -> Script:
    return lambda _: b"".join(parts)


def opens(path: str = HOLD, *parts: bytes, end: bool = False, **changes: str | None) -> Script:
    """A request on stream 1, and frames behind it."""
    return lambda client: client.head(1, request(path, **changes), end=end) + b"".join(parts)


def opens_with(*more: tuple[str, str], stream: int = 1) -> Script:
    """A whole request with fields more."""
    return lambda client: client.head(stream, [*request(), *more], end=True)


def twice(script: Script) -> Script:
    return lambda client: script(client) + script(client)


# Each on stream 1; then a call on stream 3 of the same connection succeeds.
REQUESTS: dict[str, Script] = {
    "an uppercase name": opens_with(("X-Note", "v")),
    "a connection-specific field": opens_with(("connection", "close")),
    "an unknown pseudo-header": lambda client: client.head(1, [(":x", "y"), *request()], end=True),
    "no path": opens(_path=None, end=True),
    "an empty path": opens(_path="", end=True),
    "no method": opens(_method=None, end=True),
    "a line end in a value": opens_with(("x-note", "a\r\nb")),
    "a blank at the end of a value": opens_with(("x-note", "v ")),
    "a host unlike the authority": opens_with(("host", "other.test")),
    "no authority": opens(_authority=None, end=True),
    "a wrong content-length": opens(HOLD, data(1, b"xy", end=True), content_length="1"),
    "20 KB of metadata": opens_with(("x-large", "&" * 20_000)),
    "GET": opens(_method="GET", content_type=None, end=True),
    "CONNECT": opens(_method="CONNECT", end=True),
    "trailers": lambda client: opens()(client) + client.head(1, [("x-t", "1")], end=True) + rst_stream(1),
    "trailers without END_STREAM": lambda client: opens()(client) + client.head(1, [("x-t", "1")]),
    "pseudo-headers in trailers": lambda client: opens()(client) + client.head(1, [(":path", "/")], end=True),
    "a second head": twice(opens()),
    "DATA after the end": opens(HOLD, data(1, b"x"), end=True),
    "HEADERS after the end": twice(opens(end=True)),
    "an update of nothing": opens(HOLD, window_update(1, 0)),
    "a window above 2^31-1": opens(HOLD, window_update(1, MAX_WINDOW)),
    "more DATA than the window allows": opens(HOLD, data(1, bytes(16_384)) * 5),
    "PRIORITY on itself": opens(HOLD, priority(1, 1)),
    "PRIORITY of 4 bytes": opens(HOLD, frame(2, 0, 1, bytes(4))),
    "frames after the reset": opens(HOLD, rst_stream(1), window_update(1, 1), data(1, b"x")),
    "a reset at once": opens(HOLD, rst_stream(1)),
    "a reset of what pours": opens(POUR, data(1, HI, end=True), rst_stream(1)),
    "noise as a message": opens(BIDIRECTIONAL, data(1, bytes(range(256)), end=True)),
    "half a message": opens(BIDIRECTIONAL, data(1, b"\0\0\0\0\5x", end=True)),
    "frames of unknown types": says(frame(0xEE, 0xFF, 1, b"what?") * 100),
    "PRIORITY of every stream": says(*(priority(stream, 0) for stream in range(5, 400, 2))),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_bad_request_ends_itself_and_no_other(name: str) -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(REQUESTS[name](client))
        await client.send(client.head(3, request()), data(3, HI, end=True))
        assert (await client.heard(3)).fields["grpc-status"] == "0"
        assert not client.goaways
        await victim.serves()


# Each with nothing else on the connection, or with calls on streams 1 and 3.
CONNECTIONS: dict[str, Script] = {
    "noise": says(bytes(range(256)) * 40),
    "HTTP/1.1": says(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"),
    "DATA on an idle stream": says(data(5, b"x")),
    "resets of idle streams": says(*(rst_stream(stream) for stream in range(5, 2 * MANY, 2))),
    "updates of idle streams": says(*(window_update(stream, 1) for stream in range(5, 2 * MANY, 2))),
    "a stream of the server's": lambda client: client.head(2, request()),
    "streams backwards": lambda client: client.head(9, request(HOLD)) + client.head(7, request(HOLD)),
    "a push": lambda client: client.head(5, request(HOLD)) + push_promise(5, 2, b"\x82"),
    "CONTINUATION of nothing": lambda client: client.head(5, request(HOLD)) + continuation(5),
    "CONTINUATIONs without end": says(frame(1, 0, 5), continuation(5, end=False) * MANY),
    "a header block with another frame in it": says(frame(1, 0, 5, b"\x83"), ping()),
    "a block that cannot be read": says(frame(1, 4, 5, b"\x80")),
    "100 KB of metadata": opens_with(("x-large", "&" * 100_000), stream=5),
    "a bomb of references": says(frame(1, 4, 5, b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4_000 + b"\xbe" * 10_000)),
    "wrong SETTINGS": says(settings((MAX_FRAME_SIZE, 1))),
    "a window above 2^31-1 in SETTINGS": says(settings((INITIAL_WINDOW_SIZE, 2**32 - 1))),
    "the connection's window above 2^31-1": says(window_update(0, MAX_WINDOW) * 2),
    "a frame of 16 MiB": says(frame(0, 0, 5, length=2**24 - 1)),
    "PING of 7 bytes": says(frame(6, 0, 0, bytes(7))),
    "floods of SETTINGS": says(settings() * MANY),
    "floods of PING": says(ping() * MANY),
}


@pytest.mark.parametrize("name", CONNECTIONS)
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with calls"])
async def test_a_bad_connection_ends_itself_and_no_other(name: str, busy: bool) -> None:
    async with target() as victim, raw_client(victim.port) as client:
        if busy:
            await client.send(client.head(1, request(HOLD)), client.head(3, request(POUR)), data(3, HI, end=True))
            await client.pause()
        await client.send(CONNECTIONS[name](client))
        goaway = await client.goaway()
        assert goaway.error_code
        await victim.serves()


LEAVING: dict[str, Script] = {
    "at once": says(),
    "within a frame's header": opens(HOLD, b"\0\0\5\0"),
    "within a frame": opens(HOLD, frame(0, 0, 1, b"x", length=50)),
    "within a header block": says(frame(1, 0, 1, b"\x83")),
    "with a call that waits": opens(HOLD),
    "with a call that pours": opens(POUR, data(1, HI, end=True)),
    "after a GOAWAY": opens(HOLD, goaway()),
    "after a GOAWAY for an error": opens(POUR, data(1, HI, end=True), goaway(0, 2)),
}


@pytest.mark.parametrize("name", LEAVING)
async def test_a_client_that_hangs_up_leaves_nothing(name: str) -> None:
    async with target() as victim:
        async with raw_client(victim.port) as client:
            await client.send(LEAVING[name](client))
        await victim.serves()
