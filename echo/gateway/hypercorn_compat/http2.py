"""HTTP/2: one stream's end does not affect the others.

Upstream:

- DATA or END_STREAM that a client sends after we have ended our side is a fault that ends all other streams, too,
  though the client may not know of our end yet (RFC 9113 §5.1).
- A client that has not yet read how many streams it may open, and opens more, loses the connection with all streams;
  the surplus should be refused (RFC 9113 §5.1.2). Proxies that open a connection for many waiting requests do that.
- A request that arrives while Hypercorn stops is reset with NO_ERROR, which tells clients not to repeat it.
- After a connection's 1,001st request (``keep_alive_max_requests``) nothing more is sent on any of its streams; a page
  that polls reaches that by itself. Here requests are not counted, since the limit has no benefit.
- CONNECT without ``:protocol`` is a fault, and CONNECT for another protocol is treated as a WebSocket (RFC 8441 §4).
- PRIORITY for a thousand streams that do not exist, or for an ended stream that others depend on, is a fault. It is
  obsolete (RFC 9113 §5.3.2) and ignored here.
- A stream abandoned by its client or application is never ended on our side: the client waits for the rest, and after a
  hundred of them may open no more. One reset by its client is never forgotten: after a thousand, the connection fails.
- What a client still sends after a complete response is not read, so it waits for its window forever.
- A request refused at once leaves the connection busy forever.
- A closed WebSocket counts as idle, so the connection may end before its close frame is sent.
- When Hypercorn stops, it cancels the sending task together with the streams. They then close their WebSockets, but the
  close frames are not sent.
"""

import logging
from contextlib import suppress
from functools import partial

import h2.events
import trio
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Request, StreamClosed, Trailers
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.utils import filter_pseudo_headers
from priority.priority import DuplicateStreamError, MissingStreamError

from echo.gateway.hypercorn_compat.connection_context import ConnectionContext
from echo.gateway.hypercorn_compat.endings import with_close_grace
from echo.gateway.hypercorn_compat.floods import FrameBatches
from echo.gateway.hypercorn_compat.goaway import announce_drain, announce_end
from echo.gateway.hypercorn_compat.inbox import Inbox
from echo.gateway.hypercorn_compat.open_streams import OpenStreams
from echo.gateway.hypercorn_compat.peer_settings import BoundedEncoder, forget_unknown
from echo.gateway.hypercorn_compat.send_buffer import SendBuffer
from echo.gateway.hypercorn_compat.timing import CLOSE_TIMEOUT
from echo.gateway.hypercorn_compat.websocket_stream import WebSocketStream
from echo.transport import address_text
from echo.wire import frames

log = logging.getLogger(__name__)

UPDATE_THRESHOLD = 16 * 1024  # Bytes consumed before WINDOW_UPDATE is sent.
UNLIMITED = 2**31 - 1


class HTTP2Protocol(H2Protocol):
    """Hypercorn's side of an HTTP/2 connection."""

    def __init__(self, shared: ConnectionContext) -> None:
        self._shared = shared
        self._inboxes: dict[int, Inbox] = {}  # For streams that have received data.
        self._received = 0  # Bytes received but not yet returned to the connection's window.
        self._unfinished: dict[int, float] = {}  # Streams that only the client has not ended, and until when it may.
        super().__init__(*shared.of_protocol)
        self.connection.encoder = BoundedEncoder()
        self._open = OpenStreams(self.connection, self.config.h2_max_concurrent_streams)
        self._batches = FrameBatches(self._open.is_open, self._open.only_client_sends)

    async def initiate(self, headers: list[tuple[bytes, bytes]] | None = None, settings: bytes | None = None) -> None:
        """Send our settings."""
        await super().initiate(headers, settings)
        forget_unknown(self.connection.remote_settings)  # Of an upgrade from HTTP/1.1.
        # They are sent. From now on `_admit` counts streams, since h2 would end the connection.
        self.connection.local_settings.max_concurrent_streams = UNLIMITED
        self.connection.local_settings.acknowledge()
        self._shared.helpers.start_soon(announce_drain, self._shared, self.connection)

    async def announce_end(self) -> None:
        """Tell the client that the connection, which has no streams, is about to be closed."""
        await announce_end(self._shared, self.connection)

    async def handle(self, event: Event) -> None:
        """Handle received bytes, or the end of the connection, which wakes all waiting senders."""
        if isinstance(event, RawData):
            await self._receive(event.data)
            return
        await super().handle(event)
        if isinstance(event, Closed):
            for buffer in self.stream_buffers.values():
                await buffer.close()

    async def _receive(self, data: bytes) -> None:
        first = True
        for batch in self._batches.cut(data):
            if not first:
                await trio.lowlevel.cancel_shielded_checkpoint()  # Others run; the batch is only part of what was read.
            first = False
            if self.closed:
                return
            if not self._batches.flooded:
                await super().handle(RawData(batch))
            if self._batches.flooded:
                client = address_text(self.client) or "a client"
                log.warning("%s sent too many useless frames: its HTTP/2 connection is closed", client)
                await self._end(ErrorCodes.ENHANCE_YOUR_CALM, b"too many useless frames")
                return
        if self._batches.oversized and not self.closed:
            await self._end(ErrorCodes.FRAME_SIZE_ERROR, b"frame too large")

    async def _end(self, code: ErrorCodes, why: bytes) -> None:
        with suppress(ProtocolError):  # The connection has ended already.
            self.connection.close_connection(code, why)
        await self._flush()
        await self.send(Closed())

    async def send_task(self) -> None:
        """Send the streams' data."""
        await with_close_grace(super().send_task)

    async def _send_data(self, stream_id: int) -> None:
        if self._open.we_send(stream_id):
            await super()._send_data(stream_id)
        else:  # It was reset, or ended with trailers.
            buffer = self.stream_buffers.pop(stream_id, None)
            if buffer is not None:
                await buffer.close()
            self.priority.remove_stream(stream_id)
        if stream_id not in self.stream_buffers:
            self._drop_rest(stream_id)

    def _drop_rest(self, stream_id: int) -> None:
        """Drop what a client still sends after a complete response.

        RST_STREAM with NO_ERROR might come at once (RFC 9113 §8.1), but clients like curl then fail while they send.
        """
        if stream_id not in self.streams and self._open.only_client_sends(stream_id):
            self._replenish(stream_id, frames.DEFAULT_WINDOW - self.connection.remote_flow_control_window(stream_id))
            self._unfinished[stream_id] = trio.current_time() + CLOSE_TIMEOUT
            if len(self._unfinished) == 1:
                self._shared.helpers.start_soon(self._reset_unfinished)

    async def _reset_unfinished(self) -> None:
        while self._unfinished:
            stream_id, deadline = next(iter(self._unfinished.items()))
            await trio.sleep_until(deadline)
            if self._open.only_client_sends(stream_id):
                self.connection.reset_stream(stream_id, ErrorCodes.NO_ERROR)
                await self._flush()
            del self._unfinished[stream_id]

    async def stream_send(self, event: StreamEvent) -> None:
        """Handle a stream's event: something to send, or its end."""
        try:
            if isinstance(event, StreamClosed):
                await self._abandon(event.stream_id)
            elif event.stream_id not in self.stream_buffers:
                await trio.lowlevel.checkpoint()  # As in `SendBuffer.push`.
            if isinstance(event, StreamClosed) and self.streams.keys() - {event.stream_id}:
                await self._close_stream(event.stream_id)
                await self.send(Updated(idle=False))
            else:
                await super().stream_send(event)
                if isinstance(event, Trailers):
                    await self._discard_unsent(event.stream_id)  # Everything is sent; this also marks the end.
        except trio.TooSlowError:
            await self.stream_send(StreamClosed(event.stream_id))

    async def _abandon(self, stream_id: int) -> None:
        """Reset the stream, unless our side of it has ended properly."""
        buffer = self.stream_buffers.get(stream_id)
        if buffer is not None and not (isinstance(buffer, SendBuffer) and buffer.ended):
            with suppress(ProtocolError):
                self.connection.reset_stream(stream_id, ErrorCodes.CANCEL)
            await self._discard_unsent(stream_id)
            await self._flush()

    async def _discard_unsent(self, stream_id: int) -> None:
        """After a reset: what is still sent would wait for the window, each time for `PATIENCE`."""
        if stream_id in self.stream_buffers:
            await self.stream_buffers[stream_id].close()
            with suppress(MissingStreamError):
                self.priority.unblock(stream_id)  # The sending task finds the stream over, and forgets it.
            await self.has_data.set()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                self._receive_data(event.stream_id or 0, event.data or b"", event.flow_controlled_length or 0)
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self._inboxes:
                self._inboxes[event.stream_id].end()
            elif isinstance(event, h2.events.RequestReceived) and not self._admit(event.stream_id or 0):
                self._batches.charge()
                with suppress(ProtocolError):  # The client has reset it already.
                    self.connection.reset_stream(event.stream_id or 0, ErrorCodes.REFUSED_STREAM)
            elif not isinstance(event, h2.events.PriorityUpdated):
                await super()._handle_events([event])
                if isinstance(event, h2.events.RemoteSettingsChanged):
                    forget_unknown(self.connection.remote_settings)
                elif isinstance(event, h2.events.StreamReset):
                    await self._discard_unsent(event.stream_id or 0)
                if isinstance(event, h2.events.RequestReceived) and not self.streams:
                    await self.send(Updated(idle=True))  # The request is already over; upstream has just said "busy".
        await self._flush()

    def _admit(self, stream_id: int) -> bool:
        """Count a stream that a client has opened, unless that is one too many or we are stopping.

        Applications whose streams have been reset run on for a moment, so they have room of their own.
        """
        ended = self.context.terminated.is_set()
        busy = self._shared.tasks.running >= 2 * self.config.h2_max_concurrent_streams
        return not ended and not busy and self._open.admit(stream_id)

    def _receive_data(self, stream_id: int, data: bytes, size: int) -> None:
        self._received += size  # Even if the stream is over (RFC 9113 §5.1, §6.9).
        if self._received >= UPDATE_THRESHOLD:
            self._replenish(None, self._received)
            self._received = 0
        stream = self.streams.get(stream_id)
        if stream is None and self._open.only_client_sends(stream_id):
            self._replenish(stream_id, size)
        if stream is None or not size:
            return
        if stream_id not in self._inboxes:
            inbox = self._inboxes[stream_id] = Inbox()
            self.task_group.spawn(with_close_grace, partial(self._deliver, stream_id, stream, inbox))
        self._inboxes[stream_id].put(data, size)

    async def _deliver(self, stream_id: int, stream: HTTPStream | WSStream, inbox: Inbox) -> None:
        """Deliver one stream's received data to it, until it ends."""
        liveness, taken = self._shared.liveness, 0
        while (found := await inbox.get()) is not None:
            data, size = found
            liveness.pause()
            await stream.handle(Body(stream_id, data))
            liveness.resume()
            del found, data  # Otherwise an idle stream would keep its last data.
            taken += size
            if taken >= UPDATE_THRESHOLD and not inbox.over:  # `_flush` may find the client gone.
                self._replenish(stream_id, taken)
                taken = 0
                await self._flush()
        await stream.handle(EndBody(stream_id))

    def _replenish(self, stream_id: int | None, size: int) -> None:
        """Let the client send ``size`` more bytes on the stream, or on the connection if that is None."""
        with suppress(ProtocolError, ValueError):  # The stream is over, or there is nothing to add.
            self.connection.increment_flow_control_window(size, stream_id)

    async def finish(self) -> None:
        """After the end of input, wait until the streams have taken everything received."""
        inboxes = list(self._inboxes.values())
        for inbox in inboxes:
            inbox.end()
        for inbox in inboxes:
            await inbox.finished()

    async def _close_stream(self, stream_id: int) -> None:
        inbox = self._inboxes.pop(stream_id, None)
        if inbox is not None:
            inbox.drop()
        await super()._close_stream(stream_id)
        self._drop_rest(stream_id)

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        stream_id = request.stream_id
        assert stream_id is not None
        headers = [(bytes(name), bytes(value)) for name, value in request.headers or ()]
        pseudo = {name: value for name, value in headers if name.startswith(b":")}
        method, path = pseudo[b":method"].decode("ascii").upper(), pseudo.get(b":path")
        if method == "CONNECT":
            if path is None or pseudo.get(b":protocol") != b"websocket":
                status = b"405" if path is None else b"501"
                self.connection.send_headers(stream_id, [(b":status", status)], end_stream=True)
                return
            self.streams[stream_id] = WebSocketStream(  # type: ignore[assignment]  # As in http1.
                self._shared, self.stream_send, stream_id
            )
        else:
            self.streams[stream_id] = self._shared.http_stream(self.stream_send, stream_id)
        self.stream_buffers[stream_id] = SendBuffer()  # type: ignore[assignment]  # As in http1.
        with suppress(DuplicateStreamError):
            self.priority.insert_stream(stream_id)
            self.priority.block(stream_id)
        await self.streams[stream_id].handle(
            Request(
                stream_id=stream_id,
                headers=filter_pseudo_headers(headers),
                http_version="2",
                method=method,
                raw_path=path or b"",
                state=self.connection_state,
            )
        )
        await self.context.mark_request()
