"""One WebSocket: frames on one side, ASGI messages on the other.

Upstream:

- Bytes that a client sends before the upgrade is answered fail the connection; here they wait for the answer.
- For a message over the limit, the server closes the WebSocket but continues to collect the message. Here the message
  is counted but not kept, and the application closes the WebSocket.
- A client that breaks the protocol is cut off without a reason; here it gets 1002 or 1007 (RFC 6455 §7.1.7).
- The application gets the disconnect event only after the client's close frame is answered, which may have to wait.
- An HTTP/2 stream outlives its WebSocket, until there are too many.
- All frames of a read are handled, each ping with a write, before other tasks run: for a second with tiny ones.
- Each message takes a separate write, and a separate event for the application; see `Direct` and `AcceptOptions`.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import trio
from hypercorn.protocol.events import Body, Data, EndBody, EndData, Event, Request, Response, StreamClosed
from hypercorn.typing import (
    ASGIReceiveEvent,
    ASGISendEvent,
    Scope,
    WebsocketAcceptEvent,
    WebsocketResponseStartEvent,
)
from hypercorn.utils import UnexpectedMessageError, build_and_validate_headers, suppress_body, valid_server_name

from echo.gateway.hypercorn_compat.connection_context import ConnectionContext
from echo.gateway.hypercorn_compat.direct import DIRECT, AcceptOptions
from echo.gateway.hypercorn_compat.frames import (
    CloseReason,
    FrameReader,
    Opcode,
    ParseFailed,
    bytes_frame,
    close_frame,
    control_frame,
    text_frame,
)
from echo.gateway.hypercorn_compat.handshake import Handshake, Refusal
from echo.gateway.hypercorn_compat.incoming import Incoming
from echo.gateway.hypercorn_compat.outlet import Outlet
from echo.gateway.hypercorn_compat.tasks import Put, discard
from echo.gateway.hypercorn_compat.websocket_scope import websocket_scope
from echo.gateway.hypercorn_compat.websocket_state import State

FRAMES_AT_ONCE = 64  # Frames handled before other tasks run. A message costs up to 100 µs, all told.


class WebSocketStream:
    """An upgraded HTTP/1.1 connection, or one HTTP/2 stream (RFC 8441).

    Attributes:
        closed: Whether the protocol below has closed it, so that nothing more arrives.
        state: The WebSocket's state.
        ping_interval: Seconds between pings; infinity for none.
    """

    def __init__(
        self,
        shared: ConnectionContext,
        send: Callable[[Event], Awaitable[None]],
        stream_id: int,
        outlet: Outlet | None = None,
    ) -> None:
        """``outlet`` is given if the WebSocket has the connection to itself, so that frames can be written directly."""
        self.closed = False
        self.state = State.HANDSHAKE
        self.ping_interval = math.inf
        self._shared = shared
        self._send = send
        self._stream_id = stream_id
        self._outlet = outlet
        self._incoming = Incoming(shared.config.websocket_max_message_size)
        self._batched = False
        self._pinging = False  # A ping is waiting to be sent.
        self._disconnect_sent = False
        self._decided: trio.Event | None = None  # Set if received bytes wait for the application's decision.
        self._put: Put = discard  # Queues events for the application, once it runs.

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent and received."""
        return self.state is State.OPEN and not self.closed

    @property
    def idle(self) -> bool:
        """Whether the HTTP/2 connection may end without regard to this stream."""
        return self.state in (State.CLOSING, State.OVER)

    # From the client

    async def handle(self, event: Event) -> None:
        """Handle an event of the connection."""
        if self.closed:
            return
        if isinstance(event, (Body, Data)):
            if self.state is State.HANDSHAKE:
                self._decided = trio.Event()
                await self._decided.wait()
            if self.state in (State.OPEN, State.CLOSING) and not self.closed:
                await self._receive_frames(event.data)
        elif isinstance(event, Request):
            await self._begin(event)
        elif isinstance(event, EndBody):  # HTTP/2: the client has ended its side without a close frame.
            await self._send(StreamClosed(self._stream_id))
        elif isinstance(event, StreamClosed):
            self.closed = True
            self._note_decision()
            code = CloseReason.NORMAL_CLOSURE if self.idle else CloseReason.ABNORMAL_CLOSURE
            await self._disconnect(code, self._shared.dropped)

    async def _begin(self, request: Request) -> None:
        shared = self._shared
        self._began = trio.current_time()
        self._handshake = Handshake(request.headers, request.http_version)
        self._scope = websocket_scope(request, shared, self._handshake.subprotocols)
        refusal = self._handshake.refusal()
        if not valid_server_name(shared.config, request):
            refusal = Refusal(404, "no such server name here")
        if refusal is None:
            # A copy: one that we keep and that refers to us would have to be freed by a garbage collection.
            scope = cast("Scope", {**self._scope, "extensions": {**self._scope["extensions"], DIRECT: self}})
            self._put = await shared.tasks.spawn_app(shared.app, shared.config, scope, self.app_send)
            await self._put({"type": "websocket.connect"})
        else:
            await self._refuse(refusal)
            await self._send(StreamClosed(self._stream_id))

    async def _receive_frames(self, data: bytes) -> None:
        pongs: list[bytes] = []
        try:
            for number, frame in enumerate(self._frames.read(data), 1):
                if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
                    if self.state is State.OPEN and not self._incoming.add(frame):  # In other states it is dropped.
                        await self._pass_on(pongs)
                        await self._put({"type": "websocket.receive", "text": None, "bytes": None})
                elif frame.opcode is Opcode.PING:
                    pongs.append(control_frame(Opcode.PONG, cast("bytes", frame.payload)))
                elif frame.opcode is Opcode.CLOSE:
                    await self._pass_on(pongs)
                    await self._end(*cast("tuple[int, str]", frame.payload))
                if number % FRAMES_AT_ONCE == 0:
                    await self._pass_on(pongs)
                    await trio.lowlevel.cancel_shielded_checkpoint()  # Shielded, so that no data is lost.
                    if self.closed:
                        return
            await self._pass_on(pongs)
        except ParseFailed as error:
            await self._pass_on(pongs)
            code = CloseReason.MESSAGE_TOO_BIG if self._incoming.too_big else error.code
            await self._end(code, str(error), f"the client broke the protocol: {error}")

    async def _pass_on(self, pongs: list[bytes]) -> None:
        """Deliver the complete messages, and send the pongs in one write."""
        await self._deliver()
        if pongs:
            await self._send_frame(b"".join(pongs))
            pongs.clear()

    async def _deliver(self) -> None:
        """Queue the complete messages for the application: at most `FRAMES_AT_ONCE`, so the queue is bounded."""
        messages = self._incoming.take()
        if self._batched and len(messages) > 1:
            await self._put(cast("ASGIReceiveEvent", {"type": "websocket.receive", "messages": messages}))
            return
        for message in messages:
            text, octets = (message, None) if isinstance(message, str) else (None, message)
            await self._put({"type": "websocket.receive", "text": text, "bytes": octets})

    async def _end(self, code: int, reason: str, fault: str = "") -> None:
        """Stop reading after a close frame, or an invalid one with this fault, and answer with a close frame."""
        answering = self.state is State.OPEN
        self.state = State.OVER
        await self._disconnect(code if answering else CloseReason.NORMAL_CLOSURE, fault)
        if answering:
            await self._send_frame(close_frame(code, reason))
        await self._send(EndData(self._stream_id))
        await self._send(StreamClosed(self._stream_id))

    async def _disconnect(self, code: int, why: str) -> None:
        """Queue the disconnect event for the application, once; ``why`` we have ended it, or empty."""
        if not self._disconnect_sent:
            self._disconnect_sent = True
            event = {"type": "websocket.disconnect", "code": int(code), "why": why}  # ASGI's "reason" is the client's.
            await self._put(cast("ASGIReceiveEvent", event))

    # From the application

    async def app_send(self, message: ASGISendEvent | None) -> None:
        """Handle a message of the application; None when it has ended."""
        if self.closed:
            return
        if message is None:
            if self.state is State.HANDSHAKE:
                await self._refuse(Refusal(500, ""))
            elif self.state is State.OPEN:
                await self._close(CloseReason.INTERNAL_ERROR, None)
            await self._send(StreamClosed(self._stream_id))
        elif message["type"] == "websocket.accept" and self.state is State.HANDSHAKE:
            await self._accept(message)
        elif message["type"] == "websocket.http.response.start" and self.state is State.HANDSHAKE:
            self._response = message
        elif message["type"] == "websocket.http.response.body" and self.state in (State.HANDSHAKE, State.REJECTING):
            await self._reject(bytes(message["body"]), bool(message["more_body"]))
        elif message["type"] == "websocket.close" and self.state is State.HANDSHAKE:
            await self._refuse(Refusal(403, ""))
        elif message["type"] == "websocket.close":
            await self._close(int(message["code"]), message["reason"])
        elif message["type"] == "websocket.send":
            text, octets = message["text"], message["bytes"]
            if text is not None:
                await self.send_texts([text])
            elif self.state is State.OPEN:
                await self._send_frame(bytes_frame(bytes(octets or b"")))
        else:
            raise UnexpectedMessageError(self.state, message["type"])
        if self.state is not State.HANDSHAKE:
            self._note_decision()

    def _note_decision(self) -> None:
        if self._decided is not None:
            self._decided.set()

    async def _accept(self, message: WebsocketAcceptEvent) -> None:
        options = cast("dict[str, object]", message).get(DIRECT)
        if isinstance(options, AcceptOptions):
            self._batched, self.ping_interval = options.batched, options.ping_interval
        headers = build_and_validate_headers(message["headers"])
        if (subprotocol := message["subprotocol"]) is not None:
            headers.append((b"sec-websocket-protocol", subprotocol.encode()))
        status, headers = self._handshake.answer(headers)
        del self._handshake  # Frees memory: the WebSocket may stay open for hours.
        self._frames = FrameReader()
        self.state = State.OPEN
        await self._send(Response(self._stream_id, headers, status))
        await self._log(status)
        self._shared.note_websocket()

    async def _close(self, code: int, reason: str | None) -> None:
        if self.state is State.OPEN:
            self.state = State.CLOSING
            await self._send_frame(close_frame(code, reason))
            await self._send(EndData(self._stream_id))

    async def _reject(self, body: bytes, more: bool) -> None:
        status = int(self._response["status"])
        if self.state is State.HANDSHAKE:
            self.state = State.REJECTING
            await self._send(Response(self._stream_id, build_and_validate_headers(self._response["headers"]), status))
        if not suppress_body("GET", status):
            await self._send(Body(self._stream_id, body))
        if not more:
            self.state = State.OVER
            await self._send(EndBody(self._stream_id))
            await self._log(status)

    async def _refuse(self, refusal: Refusal) -> None:
        self.state = State.OVER
        await self._send(Response(self._stream_id, refusal.fields, refusal.status))
        if refusal.body:
            await self._send(Body(self._stream_id, refusal.body))
        await self._send(EndBody(self._stream_id))
        await self._log(refusal.status)

    async def _log(self, status: int) -> None:
        response = {"type": "websocket.http.response.start", "status": status, "headers": []}
        seconds = trio.current_time() - self._began
        await self._shared.config.log.access(self._scope, cast("WebsocketResponseStartEvent", response), seconds)
        del self._scope  # Frees memory.

    # To the client

    async def ping(self) -> None:
        """Send a ping, unless the last one is still waiting to be sent."""
        if self.is_open and not self._pinging:
            self._pinging = True
            await self._send_frame(control_frame(Opcode.PING))
            self._pinging = False

    def send_now(self, texts: Sequence[str]) -> bool:
        """See `Direct`."""
        if self._outlet is None:
            return False
        return not self.is_open or self._outlet.send_now(b"".join([text_frame(text) for text in texts]))

    @property
    def pending(self) -> bool:
        """See `Direct`."""
        return self.is_open and self._outlet is not None and self._outlet.pending

    async def send_texts(self, texts: Sequence[str]) -> None:
        """See `Direct`."""
        if self.is_open:
            await self._send(Data(self._stream_id, b"".join([text_frame(text) for text in texts])))

    async def _send_frame(self, data: bytes) -> None:
        await self._send(Data(self._stream_id, data))
