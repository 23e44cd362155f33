"""Hostile servers on real sockets: a call ends with `GRPCError` or succeeds, and the next one succeeds.

Each sends a script of frames on the first stream of its first connection, and behaves correctly afterwards.
"""

import pytest
import trio
import trio.testing

from echo.rpc import Channel, GRPCError, Status, open_channel
from echo.wire.message import encode_message
from tests.support.hostile import HEAD, REPLY, TRAILERS, Script, answer, hostile_server
from tests.support.http2_frames import (
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
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
from tests.support.leaks import no_leaks
from tests.support.raw import PATIENCE, Fields, RawConnection
from tests.support.services import BIDI, BytesCodec, call, unary
from tests.support.serving import LOOPBACK

CODEC = BytesCodec()
MANY = 10_000


def says(*parts: bytes, then: Script | None = answer) -> Script:
    """These frames, and then a sound answer."""

    def script(connection: RawConnection, stream: int) -> bytes:
        return b"".join(parts) + (then(connection, stream) if then is not None else b"")

    return script


def head(*more: tuple[str, str], end: bool = False) -> Script:
    """A head with fields more."""
    return lambda connection, stream: connection.head(stream, (*HEAD, *more), end=end)


def fields(fields: Fields, *, end: bool = False) -> Script:
    return lambda connection, stream: connection.head(stream, fields, end=end)


def trailers(*more: tuple[str, str], end: bool = True) -> Script:
    """A head, the message, trailers with fields more."""

    def script(connection: RawConnection, stream: int) -> bytes:
        body = data(stream, encode_message(REPLY))
        return connection.head(stream, HEAD) + body + connection.head(stream, (*TRAILERS, *more), end=end)

    return script


def both(*scripts: Script) -> Script:
    """One after the other."""
    return lambda connection, stream: b"".join(script(connection, stream) for script in scripts)


SUCCEEDS, FAILS, EITHER = "succeeds", "fails", "either"

SCRIPTS: dict[str, tuple[Script, str]] = {
    "GOAWAY below our stream, then HEADERS on it": (says(goaway(0), then=head()), EITHER),
    "GOAWAY below our stream, then an answer": (says(goaway(0)), SUCCEEDS),
    "GOAWAY with a growing last stream": (says(goaway(0), goaway(1), goaway(99)), EITHER),
    "GOAWAY at our stream, then an answer": (says(goaway(1)), SUCCEEDS),
    "GOAWAY for an error": (says(goaway(0, 11, b"calm")), EITHER),
    "GOAWAY with a code nobody knows": (says(goaway(1, 0xBEEF, b"\xff\xfe")), EITHER),
    "a thousand GOAWAYs": (says(goaway(1) * 1_000), EITHER),
    "trailers twice": (both(trailers(), fields(TRAILERS, end=True)), SUCCEEDS),
    "two answers": (both(answer, answer), SUCCEEDS),
    "HEADERS after trailers alone": (both(head(*TRAILERS, end=True), head()), EITHER),
    "DATA without a head": (says(data(1, b"x")), FAILS),
    "the end without a head": (says(data(1, end=True)), FAILS),
    "trailers without a head": (fields(TRAILERS, end=True), FAILS),
    "trailers without END_STREAM": (both(trailers(end=False)), FAILS),
    "two heads": (both(head(), head()), FAILS),
    "no :status": (fields(HEAD[1:]), FAILS),
    "a malformed head": (head(("X-Upper", "v")), FAILS),
    "a malformed head that ends": (head(("connection", "close"), end=True), FAILS),
    "malformed trailers": (trailers(("X-Upper", "v")), FAILS),
    "pseudo-headers in trailers": (trailers((":status", "200")), FAILS),
    "a line end in trailers": (trailers(("x-note", "a\r\nb")), FAILS),
    "blanks around values": (trailers(("x-note", " a b ")), SUCCEEDS),
    "a wrong content-length": (both(head(("content-length", "1")), answer), FAILS),
    "informational heads": (both(*[fields([(":status", "103"), ("link", "</x>")])] * 50, answer), SUCCEEDS),
    "an informational head that ends": (fields([(":status", "103")], end=True), FAILS),
    "20 KB of metadata": (both(head(("x-large", "&" * 20_000)), answer), FAILS),
    "20 KB of trailers": (trailers(("x-large", "&" * 20_000)), FAILS),
    "100 KB of metadata": (both(head(("x-large", "&" * 100_000)), answer), FAILS),
    "a status that is no number": (head(("grpc-status", "-"), end=True), FAILS),
    "resets of streams that never were": (says(*(rst_stream(stream) for stream in range(3, 2 * MANY, 2))), FAILS),
    "resets of our stream": (says(rst_stream(1) * MANY), FAILS),
    "a reset after the answer": (both(answer, says(rst_stream(1, 0), then=None)), SUCCEEDS),
    "updates of nothing": (says(window_update(1, 0)), FAILS),
    "a window above 2^31-1": (says(window_update(1, MAX_WINDOW)), FAILS),
    "the connection's window above 2^31-1": (says(window_update(0, MAX_WINDOW)), FAILS),
    "a push": (says(push_promise(1, 2, b"\x82\x86\x84")), FAILS),
    "a stream of the server's": (both(lambda connection, _: connection.head(2, HEAD), answer), FAILS),
    "an answer to a call that was not made": (lambda connection, _: answer(connection, 99), FAILS),
    "push switched on": (says(settings((2, 1))), EITHER),
    "wrong SETTINGS": (says(settings((MAX_FRAME_SIZE, 1))), FAILS),
    "a window above 2^31-1 in SETTINGS": (says(settings((INITIAL_WINDOW_SIZE, 2**32 - 1))), FAILS),
    "no streams allowed any more": (
        says(settings((MAX_CONCURRENT_STREAMS, 0)), settings((MAX_CONCURRENT_STREAMS, 9))),
        SUCCEEDS,
    ),
    "more DATA than the window allows": (both(head(), says(*[data(1, bytes(16_384))] * 80)), FAILS),
    "a frame of 16 MiB": (says(frame(0, 0, 1, length=2**24 - 1)), FAILS),
    "a block that cannot be read": (says(frame(1, 4, 1, b"\x80")), FAILS),
    "CONTINUATION of nothing": (says(continuation(1, b"\x88")), FAILS),
    "CONTINUATIONs without end": (says(frame(1, 0, 1), continuation(1, end=False) * MANY), FAILS),
    "PING of 7 bytes": (says(frame(6, 0, 0, bytes(7))), FAILS),
    "HTTP/1.1": (says(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", then=None), FAILS),
    "TLS": (says(b"\x15\x03\x01\x00\x02\x02\x28" * 10, then=None), FAILS),
    "noise": (says(bytes(range(256)) * 40, then=None), FAILS),
    "PRIORITY of every stream": (says(*(priority(stream, 0) for stream in range(1, 400, 2))), SUCCEEDS),
    "frames of unknown types": (says(frame(0xEE, 0xFF, 1, b"what?") * 100), SUCCEEDS),
    "floods of PING": (says(*[ping()] * MANY), EITHER),
    "floods of SETTINGS": (says(*[settings()] * MANY), EITHER),
    "floods of empty DATA": (both(head(), says(data(1) * MANY)), EITHER),
    "floods of unknown frames": (says(frame(0xEE, 0, 0) * MANY), EITHER),
    "floods of updates": (says(window_update(0, 1) * MANY), EITHER),
    "floods of acknowledged PINGs": (says(ping(ack=True) * MANY), EITHER),
}


async def attempt(channel: Channel, kind: str, *, wait_for_ready: bool = False) -> bytes | GRPCError:
    """What becomes of a call."""
    with trio.fail_after(PATIENCE):
        try:
            if kind == "unary":
                return await unary(channel, "Odd", b"hi", timeout=PATIENCE, wait_for_ready=wait_for_ready)
            async with call(channel, "Odd", BIDI, timeout=PATIENCE) as stream:
                await stream.send_message(b"hi", end=True)
                return b"".join([message async for message in stream])
        except GRPCError as error:
            return error


async def goes_on(channel: Channel) -> None:
    """A later call succeeds; those on a connection that is just being lost need not."""
    for _ in range(5):
        if await attempt(channel, "unary") == REPLY:
            return
    raise AssertionError("no later call succeeds")


@pytest.mark.parametrize("kind", ["unary", "stream"])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_hostile_server_ends_its_call_and_no_more(name: str, kind: str) -> None:
    script, expected = SCRIPTS[name]
    async with (
        no_leaks() as leaks,
        hostile_server(script) as server,
        open_channel(LOOPBACK, server.port, codec=CODEC) as channel,
    ):
        leaks.watch(channel)
        outcome = await attempt(channel, kind)
        if expected == SUCCEEDS:
            assert outcome in (REPLY, REPLY * 2)
        elif expected == FAILS:
            assert isinstance(outcome, GRPCError)
            assert outcome.status is not Status.OK
        await goes_on(channel)
        await leaks.no_calls()


HANG_UPS: dict[str, Script] = {
    "at once": says(then=None),
    "within a frame's header": says(b"\0\0\5\0", then=None),
    "within a frame": says(frame(1, 4, 1, b"\x88", length=50), then=None),
    "within a header block": says(frame(1, 0, 1, b"\x88"), then=None),
    "after the head": head(),
    "within a message": both(head(), says(data(1, encode_message(REPLY)[:-1]), then=None)),
    "after the message": both(head(), says(data(1, encode_message(REPLY)), then=None)),
    "after a GOAWAY": says(goaway(1), then=None),
    "after a GOAWAY for an error": says(goaway(1, 2, b"bye"), then=None),
    "after half an answer behind a GOAWAY": both(says(goaway(1), then=None), head()),
}


@pytest.mark.parametrize("name", HANG_UPS)
async def test_a_server_that_hangs_up_fails_its_call_and_the_next_succeeds(name: str) -> None:
    async with (
        no_leaks() as leaks,
        hostile_server(HANG_UPS[name], hang_up=True) as server,
        open_channel(LOOPBACK, server.port, codec=CODEC) as channel,
    ):
        leaks.watch(channel)
        outcome = await attempt(channel, "unary")
        assert isinstance(outcome, GRPCError)
        assert outcome.status is Status.UNAVAILABLE
        await goes_on(channel)


BEGINNINGS: dict[str, bytes] = {
    "HTTP/1.1": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x28" * 10,
    "noise": bytes(range(256)) * 4,
    "wrong SETTINGS": settings((MAX_FRAME_SIZE, 1)),
    "HEADERS": frame(1, 4, 1, b"\x88") + settings(),
    "a GOAWAY behind SETTINGS": settings() + goaway(0, 0, b"full"),
    "a GOAWAY for an error behind SETTINGS": settings() + goaway(0, 11, b"calm"),
    "a frame of 16 MiB": frame(4, 0, 0, length=2**24 - 1),
}


@pytest.mark.parametrize("name", BEGINNINGS)
async def test_a_connection_that_begins_badly_ends_no_more_than_its_calls(
    name: str, mock_clock: trio.testing.MockClock
) -> None:
    mock_clock.rate = 1.0
    async with (
        no_leaks() as leaks,
        hostile_server(answer, begin=BEGINNINGS[name]) as server,
        open_channel(LOOPBACK, server.port, codec=CODEC) as channel,
    ):
        leaks.watch(channel)
        await attempt(channel, "unary")
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def later() -> None:
                assert await attempt(channel, "unary", wait_for_ready=True) == REPLY

            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(5.0)  # The client does not connect again at once.
        assert server.connections > 1
