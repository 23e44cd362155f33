"""Hypercorn's server of one connection, mended: a fault of one can't end the others, a dead one is noticed and let go.

Hypercorn 0.18 on trio (pinned: this touches what is not its public interface) runs each connection in a nursery that
all connections share. `install` makes it use the classes here, in `echo.gateway.frames` and in `echo.gateway.http2`
instead of its own. What differs in this one, and why:

- **Faults stay inside.** An exception that a client provokes would cancel every connection and end the process. Known
  to do so: bytes behind a WebSocket upgrade, a sound frame or not; over HTTP/2, DATA after the response, PRIORITY on a
  thousand idle streams, a CONNECT without a path.
- **Signs of life.** Hypercorn's pings are a task for each WebSocket that sleeps on after its end, and its read timeout
  is for every connection, so that it would also cut off a long call over HTTP. Here one task for each connection pings
  its WebSockets and drops a silent peer, if there are WebSockets.
- **A peer that takes nothing.** A send is shielded from cancellation, rightly, as half a frame would be the end of
  the connection. But then nothing could ever end a send to a peer that does not read, a shutdown neither. Here the
  connection is closed under it.
- **Closed means closed, and idle, idle.** The end of a response cancels the handler (Quart-Trio does so), in whose task
  Hypercorn is about to close the connection, or to give it a few seconds for the next request; which then never ends.
- **A last chance to be heard.** When Hypercorn stops, it closes connections that are idle, also those that it has just
  accepted. Here a request that is under way may still arrive.
- **A last chance to talk.** When Hypercorn gives connections up (after its ``graceful_timeout``), it cancels all their
  tasks; here a connection goes on to be read, for a moment, so that a close frame finds its answer.
"""

import logging
import math
import os
from contextlib import suppress
from enum import Enum
from typing import Final

import hypercorn.protocol
import hypercorn.protocol.h2
import hypercorn.protocol.h11
import hypercorn.trio.run
import trio
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer

from echo.gateway.frames import WebSocketStream
from echo.gateway.http2 import HTTP2Protocol, SendBuffer
from echo.gateway.websocket import CLOSE_TIMEOUT, LAST_WORDS

log = logging.getLogger(__name__)

PING_INTERVAL: Final = 27.0  # Seconds; proxies and address translators often forget an idle connection after 30 or 60.
PATIENCE: Final = 60.0  # Seconds without a sign of life after which a peer with WebSockets is dropped.
CHUNK: Final = 64 * 1024  # Bytes that are handed to the kernel at a time.
STUCK: Final = 0.05  # Seconds after which a send must have waited for the peer.


class Reader(Enum):
    """What the task that reads from the connection is about."""

    LISTENING = "waits for bytes"
    HANDLING = "hands on what came, which may wait for the application"
    ENDED = "has seen the end"


class Connection(TCPServer):
    """One connection; Hypercorn awaits it. Ends normally however the connection ends, but for being cancelled."""

    _reader = Reader.HANDLING
    _alive = math.inf  # When the peer last showed life, or we last began to look.
    _sending = math.inf  # Since when a send has got nowhere.
    _gone = math.inf  # Since when we know that the peer has gone.

    async def run(self) -> None:
        """Serve the connection and close it."""
        self._over = trio.Event()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, nursery)
                try:
                    await super().run()
                finally:
                    self._over.set()
                nursery.cancel_scope.cancel()
        except* Exception as faults:
            log.warning("a connection was ended by a fault: %r", faults.exceptions[0])
            log.debug("the fault:", exc_info=faults)

    async def protocol_send(self, event: Event) -> None:
        """Send bytes, or close the connection; for Hypercorn's protocols."""
        if isinstance(event, Closed):
            with trio.CancelScope(shield=True):  # Nothing here waits, nor below.
                await self._close()
            await self.protocol.handle(event)
            return
        if not isinstance(event, RawData):
            with trio.CancelScope(shield=True):
                await super().protocol_send(event)
            return
        if self.send_lock.locked():
            await self.send_lock.acquire()
        else:
            self.send_lock.acquire_nowait()  # Without the trip through the scheduler that `acquire` always makes.
        try:
            with trio.CancelScope(shield=True):
                for start in range(0, len(event.data), CHUNK):
                    await self._send_chunk(event.data[start : start + CHUNK])
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._gone = min(self._gone, trio.current_time())
        finally:
            self._sending = math.inf
            self.send_lock.release()
        if self._gone != math.inf:
            await self.protocol.handle(Closed())

    async def _send_chunk(self, data: bytes) -> None:
        stream: object = self.stream
        if isinstance(stream, trio.SocketStream):
            # Mostly the kernel takes it all; then there is nothing to wait for, and no trip through the scheduler to
            # make. What is wrong with the socket, if anything, shows below.
            with suppress(OSError):
                data = data[os.write(stream.socket.fileno(), data) :]
            if not data:
                return
        began = self._sending = trio.current_time()
        await self.stream.send_all(data)
        now = trio.current_time()
        if now - began > STUCK:
            self._alive = now  # The peer has made room: it reads, if slowly. A pong can't have come past what waits.

    async def _read_data(self) -> None:
        try:
            await self._read()
        except trio.Cancelled:
            with trio.move_on_after(LAST_WORDS, shield=True):
                await self._read()
            raise
        finally:
            self._reader = Reader.ENDED

    async def _read(self) -> None:
        data = b"?"
        while data:
            self._reader = Reader.LISTENING
            self._alive = trio.current_time()
            try:
                data = bytes(await self.stream.receive_some(MAX_RECV))
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                break
            self._reader = Reader.HANDLING
            await self.protocol.handle(RawData(data))
        self._reader = Reader.HANDLING
        self._gone = min(self._gone, trio.current_time())
        await self.idle_task.stop()  # Or it would keep the connection's tasks together until it times out.
        await self.protocol.handle(Closed())

    async def _idle_timeout(self) -> None:
        with trio.move_on_after(self.config.keep_alive_timeout):
            await self.context.terminated.wait()
            # A request may be under way (on a new connection it surely is), which would end this wait.
            await trio.sleep(LAST_WORDS)
        with trio.CancelScope(shield=True):
            await self._initiate_server_close()

    async def _watch(self, nursery: trio.Nursery) -> None:
        """Look after the connection while it is served."""
        try:
            await self._keep_alive(nursery)
            # The peer is gone. Whoever listens or sends finds out by the closed stream.
            await trio.aclose_forcefully(self.stream)
            if self._reader is Reader.HANDLING:
                # The reader waits for the application, which waits for something else than this peer.
                nursery.cancel_scope.cancel()
        finally:
            # Cancelled from outside, or the connection has come to its end: nobody is to hang on to it.
            with trio.move_on_after(LAST_WORDS, shield=True):
                await self._over.wait()
            await trio.aclose_forcefully(self.stream)

    async def _keep_alive(self, nursery: trio.Nursery) -> None:
        """Ping the WebSockets; returns when the peer is to be dropped."""
        ping_due = trio.current_time() + PING_INTERVAL
        while True:
            await trio.sleep_until(min(ping_due, self._gone_at()))
            now = trio.current_time()
            if now >= self._gone_at():
                return
            if now >= ping_due:
                ping_due = now + PING_INTERVAL
                for websocket in self._websockets():
                    nursery.start_soon(websocket.ping)  # Each by itself: one may wait for room in its stream.

    def _gone_at(self) -> float:
        """The time at which the peer counts as gone, if nothing happens until then."""
        if self._reader is Reader.HANDLING:
            return min(self._sending + PATIENCE, self._gone + CLOSE_TIMEOUT)
        if self._reader is Reader.LISTENING and self._websockets():
            return self._alive + PATIENCE
        return self._sending + PATIENCE

    def _websockets(self) -> list[WebSocketStream]:
        """The connection's WebSockets that are open."""
        wrapper: ProtocolWrapper | None = getattr(self, "protocol", None)  # None until TLS is there.
        if wrapper is None:
            return []
        protocol = wrapper.protocol
        streams = protocol.streams.values() if isinstance(protocol, H2Protocol) else [protocol.stream]
        return [stream for stream in streams if isinstance(stream, WebSocketStream) and stream.is_open]


def install() -> None:
    """Make Hypercorn's trio worker use what is here, for every server that starts in this process from now on."""
    # By the modules' dictionaries: the names are imported there, not exported, which a type checker minds.
    vars(hypercorn.trio.run)["TCPServer"] = Connection
    vars(hypercorn.protocol)["H2Protocol"] = HTTP2Protocol
    vars(hypercorn.protocol.h11)["WSStream"] = WebSocketStream
    vars(hypercorn.protocol.h2)["WSStream"] = WebSocketStream
    vars(hypercorn.protocol.h2)["StreamBuffer"] = SendBuffer
