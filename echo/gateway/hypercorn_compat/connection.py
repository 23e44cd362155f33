"""One connection of the gateway, assembled from the corrected parts in this package.

A nursery holds its tasks: the reader, which is the connection's own task; one task for each request; pings, if there
are WebSockets; and the wait for the next request. The reader feeds subclasses of Hypercorn's protocols, and the
requests' tasks send through them. However the connection ends, everything in it is closed and no other is affected.
"""

import math
import os
import select
from collections.abc import Generator
from contextlib import suppress

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr

from echo.gateway.hypercorn_compat.census import CENSUS
from echo.gateway.hypercorn_compat.connection_context import ConnectionContext
from echo.gateway.hypercorn_compat.containment import contain_faults
from echo.gateway.hypercorn_compat.endings import Idleness, with_close_grace
from echo.gateway.hypercorn_compat.liveness import Liveness
from echo.gateway.hypercorn_compat.outlet import Outlet, Stream
from echo.gateway.hypercorn_compat.pace import pace
from echo.gateway.hypercorn_compat.protocols import Protocols
from echo.gateway.hypercorn_compat.tasks import Tasks
from echo.gateway.hypercorn_compat.timing import CLOSE_GRACE, CLOSE_TIMEOUT, HALF_CLOSED_PATIENCE
from echo.gateway.hypercorn_compat.websocket_stream import WebSocketStream
from echo.gateway.hypercorn_compat.wrong_protocol import explain_failure, is_client_hello, refuse_tls

READ_SIZE = 64 * 1024
_LEFT = getattr(select, "POLLRDHUP", 0)  # Resets are always reported (poll(2)); Linux reports the peer's end as well.


class Connection:
    """Serves one connection. Hypercorn's worker creates and awaits it. Always closes the stream at the end."""

    def __init__(
        self, app: AppWrapper, config: Config, context: WorkerContext, state: LifespanState, stream: Stream
    ) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._state = state
        self._stream = stream
        self._plain = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        self._liveness = Liveness()
        self._pace = pace()
        self._outlet = Outlet(stream, self._liveness.note_progress)
        self._data_received = False
        self._reader_ended = False
        self._gone = False  # The peer has disconnected, or we have closed the connection.
        self._watching = False
        self._lingering = False  # We have answered for the last time, and the peer may not have read it.
        self._dropped = 0  # Bytes that have arrived since.

    def __await__(self) -> Generator[object, None, None]:
        return self.run().__await__()

    async def run(self) -> None:
        """Serve the connection and close it. Raises nothing. When cancelled, it allows `CLOSE_GRACE` for its end."""
        CENSUS.begun += 1
        try:
            with contain_faults():
                if await self._shake_hands():
                    await self._serve()
        finally:
            CENSUS.ended += 1
            await trio.aclose_forcefully(self._stream)

    async def _shake_hands(self) -> bool:
        if not isinstance(self._stream, trio.SSLStream):
            return True
        try:
            with trio.fail_after(self._config.ssl_handshake_timeout):
                await self._stream.do_handshake()
        except trio.TooSlowError:
            return False
        except trio.BrokenResourceError as error:
            await explain_failure(error, self._plain)
            return False
        return True

    async def _serve(self) -> None:
        plain = self._plain.socket
        try:
            client = parse_socket_addr(plain.family, plain.getpeername())
            server = parse_socket_addr(plain.family, plain.getsockname())
        except OSError:  # Already closed.
            return
        self._outlet.tune(plain)
        tls = isinstance(self._stream, trio.SSLStream)
        alpn = self._stream.selected_alpn_protocol() if isinstance(self._stream, trio.SSLStream) else None
        try:
            async with trio.open_nursery() as helpers:
                self._helpers = helpers
                self._idleness = Idleness(helpers, self._config, self._context, self._close_idle)
                async with trio.open_nursery() as nursery:
                    self._tasks = Tasks(nursery, self._peer_has_left, self._pace)
                    shared = ConnectionContext(
                        app=self._app,
                        config=self._config,
                        context=self._context,
                        tasks=self._tasks,
                        helpers=helpers,
                        state=ConnectionState(self._state),
                        tls=tls,
                        client=client,
                        server=server,
                        send=self.send,
                        outlet=self._outlet,
                        liveness=self._liveness,
                        note_websocket=self._note_websocket,
                    )
                    self._protocols = Protocols(shared, alpn)
                    await self._protocols.initiate()
                    self._idleness.begin(served=False)
                    await self._read()
                helpers.cancel_scope.cancel()
        finally:
            # They refer to each other and to this connection. A garbage collection would have to free it otherwise.
            self._protocols.forget_streams()
            del self._idleness, self._tasks, self._protocols

    # To the peer

    async def send(self, event: Event) -> None:
        """Handle an event of Hypercorn's protocols: send bytes, close the connection, or note whether it is idle."""
        if isinstance(event, RawData):
            try:
                await self._outlet.send(event.data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._note_gone()
            if self._gone:
                await self._protocols.handle(Closed())
        elif isinstance(event, Closed):
            with trio.CancelScope(shield=True):  # Nothing in here waits.
                await self._close()
            await self._protocols.handle(event)
        elif isinstance(event, Updated):
            if event.idle:
                self._idleness.begin(served=self._tasks.served)
            else:
                self._idleness.end()

    async def _close(self) -> None:
        """Close the connection, as soon as the peer can be taken to have read the last answer."""
        if self._protocols.peer_may_be_sending and not (self._gone or self._reader_ended):
            if not self._lingering:
                self._lingering = True
                self._helpers.start_soon(self._linger)
            return
        await self._close_now()

    async def _linger(self) -> None:
        """Let the reader drop what the peer still sends, until it closes, is silent, or has sent for long enough.

        Closing a socket with unread data resets the connection, and the peer might never read the answer (RFC 9112
        §9.6).
        """
        with trio.move_on_after(CLOSE_TIMEOUT):
            await self._end_sending()
            dropped = -1
            while self._dropped > dropped:
                dropped = self._dropped
                await trio.sleep(CLOSE_GRACE)
        with trio.CancelScope(shield=True):  # Nothing in here waits.
            await self._close_now()

    async def _end_sending(self) -> None:
        if isinstance(self._stream, trio.SocketStream):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                await self._stream.send_eof()

    async def _close_now(self) -> None:
        await self._end_sending()
        await self._stream.aclose()

    async def _close_idle(self) -> None:
        if self._context.terminated.is_set():  # The protocol has announced it.
            await self._protocols.handle(Closed())
            await self._stream.aclose()
            return
        descriptor = self._plain.socket.fileno()
        if descriptor >= 0 and _polled(descriptor, select.POLLOUT):  # Otherwise that would have to wait.
            await self._protocols.announce_end()
        await self.send(Closed())

    # From the peer

    async def _read(self) -> None:
        """Read until the end."""
        try:
            await with_close_grace(self._read_on)
        except trio.Cancelled:
            await trio.aclose_forcefully(self._stream)
            raise
        finally:
            self._reader_ended = True

    async def _read_on(self) -> None:
        with contain_faults():  # Here, so that the applications are told of the end, too.
            await self._read_and_handle()
        self._note_gone()
        self._idleness.end()  # Otherwise it would keep the nursery open until it times out.
        await self._protocols.finish()
        await self._protocols.handle(Closed())

    async def _read_and_handle(self) -> None:
        ended = False
        first = isinstance(self._stream, trio.SocketStream) and not self._data_received
        while not ended:
            self._liveness.resume()
            try:
                data = await self._receive()
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                break
            finally:
                self._liveness.pause()
            if first and is_client_hello(data):
                await refuse_tls(self._plain)
                break
            self._data_received, first, ended = True, False, not data
            if self._lingering:
                self._dropped += len(data)
                continue
            if self._idleness.waiting and not self._pace.requests.take():
                with trio.CancelScope(shield=True), self._idleness.suspended():  # What was read would be lost.
                    await self._pace.requests.wait()
            await self._protocols.handle(RawData(data))
            del data  # Otherwise an idle connection would keep its last input.
            if self._protocols.request_is_arriving:
                self._idleness.hurry()
        if ended:
            with trio.move_on_after(HALF_CLOSED_PATIENCE):
                await self._protocols.answered()

    async def _receive(self) -> bytes:
        """Receive bytes; empty at the end."""
        stream = self._stream
        if isinstance(stream, trio.SSLStream):
            return bytes(await stream.receive_some(READ_SIZE))
        while stream.socket.fileno() >= 0:
            # Waiting first saves a system call: mostly there is nothing to read yet.
            await trio.lowlevel.wait_readable(stream.socket)
            try:
                return os.read(stream.socket.fileno(), READ_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error
        return b""  # We have closed it.

    def _peer_has_left(self) -> bool:
        """Whether the peer has closed or reset the connection, even if data of its are unread."""
        descriptor = self._plain.socket.fileno()
        return descriptor < 0 or _polled(descriptor, _LEFT)

    def _note_gone(self) -> None:
        if not self._gone:
            self._gone = True
            self._helpers.start_soon(self._close_soon)

    async def _close_soon(self) -> None:
        """After the peer has gone, end senders and the reader, at the latest after `CLOSE_TIMEOUT`."""
        try:
            if not self._reader_ended:
                await trio.sleep(CLOSE_TIMEOUT)
        finally:
            await trio.aclose_forcefully(self._stream)
        if not self._reader_ended:
            # The reader waits for the application, which waits for something other than this peer.
            self._helpers.cancel_scope.cancel()

    # WebSockets

    def _websockets(self) -> list[WebSocketStream]:
        return [socket for socket in self._protocols.websockets() if socket.ping_interval != math.inf]

    def _note_websocket(self) -> None:
        """Start pinging, when a WebSocket was opened."""
        if not self._watching and self._websockets():
            self._watching = True
            self._helpers.start_soon(self._watch)

    async def _watch(self) -> None:
        if await self._liveness.watch(self._websockets, self._helpers):
            await trio.aclose_forcefully(self._stream)  # This wakes the reader and the senders.
        self._watching = False


def _polled(descriptor: int, events: int) -> bool:
    """Whether one of the events, or an error, holds for the socket now."""
    poll = select.poll()
    poll.register(descriptor, events)
    return bool(poll.poll(0))
