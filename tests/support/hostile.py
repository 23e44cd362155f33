"""Hostile clients and servers on real sockets, which send frames from a script, and slow streams.

`hostile_server` follows a script on the first stream of its first connection and is a correct server otherwise. So a
test sees how the call ends, and that the next one succeeds. `throttled_client` reads only as fast as the test allows.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

import trio

from echo.wire.message import encode_message
from tests.support.http2_frames import (
    INITIAL_WINDOW_SIZE,
    MAX_WINDOW,
    PREFACE,
    SETTINGS_ACK,
    data,
    settings,
    window_update,
)
from tests.support.raw import RawConnection
from tests.support.serving import LOOPBACK

Script: TypeAlias = Callable[[RawConnection, int], bytes]
"""What a peer sends, given the connection (for its encoder) and the stream."""

KIB = 1024
RECEIVE_BUFFER = 8 * KIB  # For a slow peer. The less the kernel buffers, the sooner the other side notices.
BEGIN = settings() + SETTINGS_ACK
WIDE = settings((INITIAL_WINDOW_SIZE, MAX_WINDOW)) + SETTINGS_ACK + window_update(0, MAX_WINDOW - 65_535)

HEAD = ((":status", "200"), ("content-type", "application/grpc"))
TRAILERS = (("grpc-status", "0"),)
REPLY = b"fine"


def answer(connection: RawConnection, stream: int) -> bytes:
    """A correct response: a head, one message, trailers."""
    return (
        connection.head(stream, HEAD)
        + data(stream, encode_message(REPLY))
        + connection.head(stream, TRAILERS, end=True)
    )


def silence(_connection: RawConnection, _stream: int) -> bytes:
    """No script: the peer behaves correctly."""
    return b""


class Throttle(trio.abc.Stream):
    """A stream that receives no more bytes than allowed.

    Attributes:
        allowed: How many more bytes it may receive; None for no limit.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self.allowed: int | None = None
        self._stream = stream
        self._changed = trio.Event()

    def allow(self, size: int | None) -> None:
        """Allow this many more bytes; None removes the limit."""
        self.allowed = None if size is None else (self.allowed or 0) + size
        self._changed.set()
        self._changed = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while self.allowed == 0:
            await self._changed.wait()
        size = max_bytes if self.allowed is None else min(self.allowed, max_bytes or self.allowed)
        received = await self._stream.receive_some(size)
        if self.allowed is not None:
            self.allowed -= min(self.allowed, len(received))
        return bytes(received)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def throttled_client(
    port: int, *, begin: bytes = PREFACE + BEGIN, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[RawConnection, Throttle]]:
    """A client whose reading the test can slow down. Leaving the block closes the connection."""
    with trio.socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        await sock.connect((LOOPBACK, port))
        throttle = Throttle(trio.SocketStream(sock))
        stream: trio.abc.Stream = throttle
        if tls is not None:
            stream = trio.SSLStream(throttle, tls, server_hostname=LOOPBACK, https_compatible=True)
        async with stream, trio.open_nursery() as nursery:
            connection = RawConnection(stream)
            nursery.start_soon(connection.listen)
            await connection.send(begin)
            yield connection, throttle
            nursery.cancel_scope.cancel()


class HostileServer:
    """A running hostile server.

    Attributes:
        port: The port it listens on.
        first: Its first connection, once a client has connected.
        throttle: Limits how fast that connection reads, once a client has connected.
        connections: The number of connections so far.
    """

    def __init__(self, script: Script, begin: bytes, *, dribble: bool, hang_up: bool) -> None:
        self.port = 0
        self.first: RawConnection | None = None
        self.throttle: Throttle | None = None
        self.connections = 0
        self.connected = trio.Event()
        self._script = script
        self._begin = begin
        self._dribble = dribble
        self._hang_up = hang_up

    async def serve(self, sock: trio.SocketStream) -> None:
        """Be hostile to the first connection, and correct to all others."""
        self.connections += 1
        stream = Throttle(sock)
        connection = RawConnection(stream)
        hostile = self.first is None
        if hostile:
            self.first, self.throttle = connection, stream
            self.connected.set()
        served: list[int] = []
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(partial(connection.listen, preface=True))
            await self._say(connection, self._begin if hostile else BEGIN)
            if hostile and self._script is not silence and await connection.came(lambda: connection.streams):
                served.append(min(connection.streams))
                await self._say(connection, self._script(connection, served[0]))
                if self._hang_up:
                    nursery.cancel_scope.cancel()
                    return
            while await connection.came(lambda: connection.complete > len(served)):
                served.append(sorted(connection.streams)[len(served)])
                await self._say(connection, answer(connection, served[-1]))
            nursery.cancel_scope.cancel()

    async def _say(self, connection: RawConnection, said: bytes) -> None:
        step = 1 if self._dribble else len(said) or 1
        for start in range(0, len(said), step):
            if connection.closed:
                return
            await connection.send(said[start : start + step])


@asynccontextmanager
async def hostile_server(
    script: Script, *, begin: bytes = BEGIN, dribble: bool = False, hang_up: bool = False
) -> AsyncIterator[HostileServer]:
    """A server that begins its first connection with these bytes and follows the script on its first stream.

    What comes after, and on other connections, it answers soundly. ``dribble`` has every byte sent by itself,
    ``hang_up`` the connection closed after the script. Leaving the block closes everything.
    """
    server = HostileServer(script, begin, dribble=dribble, hang_up=hang_up)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        server.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, server.serve, [listener])
        yield server
        nursery.cancel_scope.cancel()
