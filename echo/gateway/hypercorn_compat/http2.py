"""HTTP/2: streams that do not end each other.

Upstream:

- DATA, or the end of its stream, that a client sends after we have ended ours is a fault, and ends all that goes on in
  the other streams. The client has not heard of our end yet (RFC 9113 §5.1).
- The reader waits for the application of the stream that it has something for, and so does everything else on the
  connection, resets included, behind one that takes nothing. Here each stream's data waits in an inbox of its own, as
  much as the stream's window allows; the connection's window opens again as data arrives.
- At the connection's 1,001st request (``keep_alive_max_requests``) it is closed with all its streams; a page that polls
  gets there by itself. Here requests are not counted: nothing is gained by it that an end in good order would not do.
- CONNECT without ``:protocol`` is a fault, and one for another protocol than WebSockets is taken for one (RFC 8441 §4).
- PRIORITY for a thousand streams that do not exist is a fault. It is obsolete (RFC 9113 §5.3.2): here they are ignored.
- A WebSocket that has closed counts as idle, and the connection may end before its close frame is sent.
- When Hypercorn ends, what sends for the streams is cancelled along with the streams, to which that is the sign to
  close their WebSockets: nothing of that is sent.
"""

from contextlib import suppress

import h2.events
import trio
from h2.exceptions import ProtocolError
from hypercorn.events import Updated
from hypercorn.protocol.events import Body, EndBody, Request, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.utils import filter_pseudo_headers
from priority.priority import DuplicateStreamError

from echo.gateway.hypercorn_compat.send_buffer import SendBuffer
from echo.gateway.hypercorn_compat.surroundings import Surroundings
from echo.gateway.hypercorn_compat.timing import LAST_WORDS
from echo.gateway.hypercorn_compat.websocket_stream import WebSocketStream

WORTH_TELLING = 16 * 1024  # Bytes that a window must be short of before the client hears of it.
NOT_ALLOWED = b"405"
NOT_IMPLEMENTED = b"501"


class Inbox:
    """What came for a stream and waits for its application: what the stream's window allows, at most."""

    __slots__ = ("data", "ended", "pumping", "size", "taken")

    def __init__(self) -> None:
        self.data = bytearray()
        self.size = 0  # What that took of the windows: padding, too.
        self.ended = False  # The client sends no more, and the application does not know yet.
        self.pumping = False  # A task hands on what is here.
        self.taken = 0  # Bytes that the application has taken, and the client may send again.


class HTTP2Protocol(H2Protocol):
    """Hypercorn's side of a connection of HTTP/2."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._inboxes: dict[int | None, Inbox] = {}
        self._received = 0  # Bytes that the client may send again on the connection.
        super().__init__(
            surroundings.app,
            surroundings.config,
            surroundings.context,
            surroundings.tasks,
            surroundings.state,
            surroundings.tls,
            surroundings.client,
            surroundings.server,
            surroundings.send,
        )

    async def send_task(self) -> None:
        """Send what the streams have to send; cancelled, for a moment more, as the connection's reader reads."""
        try:
            await super().send_task()
        except trio.Cancelled:
            with trio.move_on_after(LAST_WORDS, shield=True):
                await super().send_task()
            raise

    async def stream_send(self, event: StreamEvent) -> None:
        """Take in what a stream has to send, or that it is over."""
        if isinstance(event, StreamClosed) and self.streams.keys() - {event.stream_id}:
            await self._close_stream(event.stream_id)
            await self.send(Updated(idle=False))
        else:
            await super().stream_send(event)

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                size = event.flow_controlled_length or 0
                self._replenish(None, size)  # Also where the stream is over (RFC 9113 §5.1, §6.9).
                if (inbox := self._inboxes.get(event.stream_id)) is not None:
                    inbox.data += event.data or b""
                    inbox.size += size
                    self._pump_soon(event.stream_id, inbox)
            elif isinstance(event, h2.events.StreamEnded):
                if (inbox := self._inboxes.get(event.stream_id)) is not None:
                    inbox.ended = True
                    self._pump_soon(event.stream_id, inbox)
            elif not isinstance(event, h2.events.PriorityUpdated) or event.stream_id in self.streams:
                await super()._handle_events([event])
        await self._flush()

    def _pump_soon(self, stream_id: int | None, inbox: Inbox) -> None:
        if not inbox.pumping:
            inbox.pumping = True
            self.task_group.spawn(self._pump, stream_id, inbox)

    async def _pump(self, stream_id: int, inbox: Inbox) -> None:
        """Hand on what came for one stream, which waits for its application, and for nobody else's."""
        while (inbox.data or inbox.ended) and (stream := self.streams.get(stream_id)) is not None:
            data, size, ended = bytes(inbox.data), inbox.size, inbox.ended
            inbox.data, inbox.size, inbox.ended = bytearray(), 0, False
            if data:
                await stream.handle(Body(stream_id, data))
            if ended:
                await stream.handle(EndBody(stream_id))
            inbox.taken += size
            if inbox.taken >= WORTH_TELLING:
                self._replenish(stream_id, inbox.taken)
                inbox.taken = 0
                await self._flush()
        inbox.pumping = False

    def _replenish(self, stream_id: int | None, size: int) -> None:
        """Let the client send so many bytes more, on this stream, or on the connection once there are enough."""
        if stream_id is None:
            self._received += size
            if self._received < WORTH_TELLING:
                return
            size, self._received = self._received, 0
        with suppress(ProtocolError):  # The stream, or all of it, is over.
            self.connection.increment_flow_control_window(size, stream_id)

    async def _close_stream(self, stream_id: int) -> None:
        self._inboxes.pop(stream_id, None)
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
        self._inboxes[stream_id] = Inbox()
        self.stream_buffers[stream_id] = SendBuffer(self.context.event_class)
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
