"""HTTP/2: streams that do not end each other.

Upstream:

- DATA, or the end of its stream, that a client sends after we have ended ours is a fault, and ends all that goes on in
  the other streams. The client has not heard of our end yet (RFC 9113 §5.1).
- After a connection's 1,001st request (``keep_alive_max_requests``) nothing more is sent on any of its streams; a page
  that polls gets there by itself. Here requests are not counted: nothing is gained by it.
- CONNECT without ``:protocol`` is a fault, and one for another protocol than WebSockets is taken for one (RFC 8441 §4).
- PRIORITY for a thousand streams that do not exist, or that have ended and others are to depend on, is a fault. It is
  obsolete (RFC 9113 §5.3.2): here it is ignored.
- A stream whose client or application leaves it half-way is never ended on our side: a client waits for the rest, and
  after a hundred of them may open no more.
- A request that is refused at once leaves the connection busy for ever.
- A WebSocket that has closed counts as idle, and the connection may end before its close frame is sent.
- When Hypercorn ends, what sends for the streams is cancelled along with the streams, to which that is the sign to
  close their WebSockets: nothing of that is sent.
"""

from contextlib import suppress
from functools import partial

import h2.events
import trio
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol.events import Body, EndBody, Request, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.utils import filter_pseudo_headers
from priority.priority import DuplicateStreamError, MissingStreamError

from echo.gateway.hypercorn_compat.endings import with_last_words
from echo.gateway.hypercorn_compat.inbox import Inbox
from echo.gateway.hypercorn_compat.send_buffer import SendBuffer
from echo.gateway.hypercorn_compat.surroundings import Surroundings
from echo.gateway.hypercorn_compat.websocket_stream import WebSocketStream

WORTH_TELLING = 16 * 1024  # Bytes that a window must be short of before the client hears of it.
NOT_ALLOWED = b"405"
NOT_IMPLEMENTED = b"501"


class HTTP2Protocol(H2Protocol):
    """Hypercorn's side of a connection of HTTP/2."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._inboxes: dict[int, Inbox] = {}  # Of streams for which something has come.
        self._received = 0  # Bytes that the client may send again on the connection.
        super().__init__(*surroundings.of_protocol)

    async def handle(self, event: Event) -> None:
        """Take in what came, or that nothing more will: then whoever waits for something to be sent is let go."""
        await super().handle(event)
        if isinstance(event, Closed):
            for buffer in self.stream_buffers.values():
                await buffer.close()

    async def send_task(self) -> None:
        """Send what the streams have to send."""
        await with_last_words(super().send_task)

    async def stream_send(self, event: StreamEvent) -> None:
        """Take in what a stream has to send, or that it is over."""
        try:
            if isinstance(event, StreamClosed):
                await self._abandon(event.stream_id)
            if isinstance(event, StreamClosed) and self.streams.keys() - {event.stream_id}:
                await self._close_stream(event.stream_id)
                await self.send(Updated(idle=False))
            else:
                await super().stream_send(event)
        except trio.TooSlowError:
            await self.stream_send(StreamClosed(event.stream_id))

    async def _abandon(self, stream_id: int) -> None:
        """Tell the client, unless our side has ended in good order."""
        buffer = self.stream_buffers.get(stream_id)
        if buffer is not None and not (isinstance(buffer, SendBuffer) and buffer.ended):
            with suppress(ProtocolError):
                self.connection.reset_stream(stream_id, ErrorCodes.CANCEL)
            with suppress(MissingStreamError):
                self.priority.unblock(stream_id)  # Lets the sending task see that there is nothing to be sent.
            await self.has_data.set()
            await self._flush()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                self._take_in(event.stream_id or 0, event.data or b"", event.flow_controlled_length or 0)
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self._inboxes:
                self._inboxes[event.stream_id].end()
            elif not isinstance(event, h2.events.PriorityUpdated):
                await super()._handle_events([event])
                if isinstance(event, h2.events.RequestReceived) and not self.streams:
                    await self.send(Updated(idle=True))  # It is over already: what was last said is not so.
        await self._flush()

    def _take_in(self, stream_id: int, data: bytes, size: int) -> None:
        self._received += size  # Also where the stream is over (RFC 9113 §5.1, §6.9).
        if self._received >= WORTH_TELLING:
            self._replenish(None, self._received)
            self._received = 0
        stream = self.streams.get(stream_id)
        if stream is None or not size:
            return
        if stream_id not in self._inboxes:
            inbox = self._inboxes[stream_id] = Inbox()
            self.task_group.spawn(with_last_words, partial(self._hand_on, stream_id, stream, inbox))
        self._inboxes[stream_id].put(data, size)

    async def _hand_on(self, stream_id: int, stream: HTTPStream | WSStream, inbox: Inbox) -> None:
        """Give one stream what has come for it, until it is over."""
        liveness, taken = self._surroundings.liveness, 0
        while (found := await inbox.get()) is not None:
            data, size = found
            liveness.begin()
            await stream.handle(Body(stream_id, data))
            liveness.end()
            taken += size
            if taken >= WORTH_TELLING and not inbox.over:  # A send may show that the client is gone, which ends it all.
                self._replenish(stream_id, taken)
                taken = 0
                await self._flush()
        await stream.handle(EndBody(stream_id))

    def _replenish(self, stream_id: int | None, size: int) -> None:
        """Let the client send so many bytes more, on this stream or on the connection."""
        with suppress(ProtocolError):  # It is over.
            self.connection.increment_flow_control_window(size, stream_id)

    async def finish(self) -> None:
        """Nothing more comes: wait until the streams have taken what has come."""
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

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        stream_id = request.stream_id
        assert stream_id is not None
        headers = [(bytes(name), bytes(value)) for name, value in request.headers or ()]
        pseudo = {name: value for name, value in headers if name.startswith(b":")}
        method, path = pseudo[b":method"].decode("ascii").upper(), pseudo.get(b":path")
        if method == "CONNECT":
            if path is None or pseudo.get(b":protocol") != b"websocket":
                status = NOT_ALLOWED if path is None else NOT_IMPLEMENTED
                self.connection.send_headers(stream_id, [(b":status", status)], end_stream=True)
                return
            self.streams[stream_id] = WebSocketStream(  # type: ignore[assignment]  # As in http1.
                self._surroundings, self.stream_send, stream_id
            )
        else:
            self.streams[stream_id] = self._surroundings.http_stream(self.stream_send, stream_id)
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
