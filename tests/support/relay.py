"""A relay between a client and a server, over real TCP, whose connections a test can break."""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from tests.support.serving import LOOPBACK

_NO_LINGER = struct.pack("ii", 1, 0)  # Closing sends RST instead of FIN.


class Relay:
    """Forwards bytes both ways between clients of ``port`` and a target on the loopback, until told otherwise.

    Who connects again after `reset` or `finish` gets a sound line.

    Attributes:
        port: Where it listens.
        to_server, to_client: Bytes carried each way, over all lines.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.to_server = 0
        self.to_client = 0
        self._target = target
        self._lines: dict[trio.CancelScope, tuple[trio.SocketStream, trio.SocketStream]] = {}
        self._flowing = trio.Event()
        self._flowing.set()

    def reset(self) -> None:
        """Reset the TCP connections to both ends."""
        for scope, ends in self._lines.items():
            for end in ends:
                end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            scope.cancel()

    def finish(self) -> None:
        """Send a FIN to both ends, as if each other had closed."""
        for ends in self._lines.values():
            for end in ends:
                end.socket.shutdown(socket.SHUT_WR)

    def hold(self) -> None:
        """Forward nothing until `release`. Both ends stay connected, but receive nothing."""
        self._flowing = trio.Event()

    def release(self) -> None:
        """Forward again, starting with what was held."""
        self._flowing.set()

    async def carry(self, client: trio.SocketStream) -> None:
        """Serve one connection."""
        server = await trio.open_tcp_stream(LOOPBACK, self._target)
        async with client, server:
            with trio.CancelScope() as line:
                self._lines[line] = client, server
                try:
                    async with trio.open_nursery() as pumps:
                        pumps.start_soon(self._pump, client, server, line, self._count_to_server)
                        pumps.start_soon(self._pump, server, client, line, self._count_to_client)
                finally:
                    del self._lines[line]

    def _count_to_server(self, size: int) -> None:
        self.to_server += size

    def _count_to_client(self, size: int) -> None:
        self.to_client += size

    async def _pump(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        line: trio.CancelScope,
        count: Callable[[int], None],
    ) -> None:
        try:
            async for data in source:
                await self._flowing.wait()
                count(len(data))
                await sink.send_all(data)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            line.cancel()


@asynccontextmanager
async def relaying(target: int) -> AsyncIterator[Relay]:
    """A relay to this port while the block runs."""
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    relay = Relay(listener.socket.getsockname()[1], target)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, relay.carry, [listener])
        yield relay
        nursery.cancel_scope.cancel()
