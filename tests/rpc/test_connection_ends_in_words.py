"""The messages that callers get when their connection ends or cannot be made: what happened, from their side."""

import ssl
import struct
from collections.abc import Awaitable, Callable

import pytest
import trio

from echo.rpc import GRPCError, Keepalive, Limits, Status, open_channel
from tests.support.http2_frames import SETTINGS_ACK, settings
from tests.support.services import CODEC, unary
from tests.support.serving import LOOPBACK

BEGIN = settings() + SETTINGS_ACK
QUICK = Keepalive(time=10, timeout=5)
Behave = Callable[[trio.SocketStream], Awaitable[None]]


async def heard(stream: trio.SocketStream, size: int) -> None:
    """Wait until the client has sent this much."""
    came = 0
    while came < size:
        came += len(await stream.receive_some())


async def close(stream: trio.SocketStream) -> None:
    await heard(stream, 100)
    await stream.aclose()


async def reset(stream: trio.SocketStream) -> None:
    await heard(stream, 100)
    stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


async def hang_up(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def break_the_rules(stream: trio.SocketStream) -> None:
    await heard(stream, 100)
    await stream.send_all(b"\0\0\1\6\0\0\0\0\0x")
    await trio.sleep_forever()


async def keep_silent(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


def say(octets: bytes, then: Behave = close) -> Behave:
    async def behave(stream: trio.SocketStream) -> None:
        await stream.send_all(octets)
        await then(stream)

    return behave


async def test_an_error_says_that_a_server_has_never_begun(quiet_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
        nursery.start_soon(trio.serve_listeners, keep_silent, listeners)
        host, port = listeners[0].socket.getsockname()
        async with open_channel(host, port, codec=CODEC, limits=Limits(handshake_timeout=5)) as channel:
            with pytest.raises(GRPCError) as raised:
                await unary(channel, "One", b"hi")
        nursery.cancel_scope.cancel()
    told = "the other side did not begin to speak HTTP/2 within 5 s"
    assert raised.value.message == f"cannot connect to {host}:{port}: {told}"


@pytest.mark.parametrize(
    ("behave", "told"),
    [(close, "the server closed the connection"), (reset, "[Errno 104] Connection reset by peer")],
)
async def test_an_error_says_what_happened_to_a_tls_handshake(behave: Behave, told: str) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await behave(stream)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        host, port = listeners[0].socket.getsockname()
        async with open_channel(host, port, codec=CODEC, tls=ssl.create_default_context()) as channel:
            with pytest.raises(GRPCError) as raised:
                await unary(channel, "One", b"hi")
        nursery.cancel_scope.cancel()
    assert raised.value.message == f"cannot connect to {host}:{port}: TLS handshake failed: {told}"


@pytest.mark.parametrize(
    ("behave", "told"),
    [
        (say(BEGIN), "connection to {}: the other side closed the connection"),
        (say(BEGIN, reset), "connection to {}: the connection was lost (Connection reset by peer)"),
        (
            say(BEGIN, keep_silent),
            "connection to {}: the other side did not answer a keepalive PING within 5 s",
        ),
        (
            say(BEGIN, break_the_rules),
            "connection to {}: the server violated HTTP/2: PING of 1 bytes",
        ),
        (hang_up, "cannot connect to {}: the other side closed the connection"),
        (keep_silent, "cannot connect to {}: the other side did not answer a keepalive PING within 5 s"),
        (
            say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
            "cannot connect to {}: it answered in HTTP/1 ('HTTP/1.1 400 Bad Request'), where HTTP/2 was expected",
        ),
        (say(b"\x15\3\1\0\2\2\x46"), "cannot connect to {}: it speaks TLS but was called in plain text"),
        (
            say(b"SSH-2.0-OpenSSH_9.6\r\n"),
            "cannot connect to {}: it does not speak HTTP/2: it began with b'SSH-2.0-OpenSSH_9.6\\r\\n'",
        ),
    ],
)
async def test_an_error_says_what_happened_to_the_connection(
    behave: Behave, told: str, quiet_clock: trio.abc.Clock
) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await behave(stream)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        address = "{}:{}".format(*listeners[0].socket.getsockname())
        async with open_channel(LOOPBACK, int(address.split(":")[1]), codec=CODEC, keepalive=QUICK) as channel:
            with pytest.raises(GRPCError) as raised:
                await unary(channel, "One", b"hi")
        nursery.cancel_scope.cancel()
    assert raised.value.status is Status.UNAVAILABLE
    assert raised.value.message == told.format(address)
