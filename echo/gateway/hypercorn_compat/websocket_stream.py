"""One WebSocket: frames on one side, ASGI messages on the other.

Upstream:

- Bytes that a client sends before the upgrade is answered fail the connection; here they wait for the answer.
- A message over the limit is closed for by the server, and collected on; here it is counted, not kept, and left to the
  application to close for.
- A client that breaks the protocol is cut off without a word; here it is told, by 1002 or 1007 (RFC 6455 §7.1.7).
- The application hears that the client has left after the answer to its close frame is sent, which may have to wait.
- A stream of HTTP/2 outlives its WebSocket, until there are too many.
- A refused handshake leaves the socket open for ever.
- Each message is a write of its own, and an event of its own for the application; see `Direct` and `Wishes`.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from time import time
from typing import cast
from urllib.parse import unquote

import trio
from hypercorn.protocol.events import Body, Data, EndBody, EndData, Event, Request, Response, StreamClosed
from hypercorn.typing import (
    ASGIReceiveEvent,
    ASGISendEvent,
    ConnectionState,
    Scope,
    WebsocketAcceptEvent,
    WebsocketResponseStartEvent,
    WebsocketScope,
)
from hypercorn.utils import UnexpectedMessageError, build_and_validate_headers, suppress_body, valid_server_name

from echo.gateway.hypercorn_compat.direct import DIRECT, Wishes
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
from echo.gateway.hypercorn_compat.surroundings import Surroundings
from echo.gateway.hypercorn_compat.tasks import Put


class State(Enum):
    """How far a WebSocket has come."""

    HANDSHAKE = auto()  # The application has not decided.
    REJECTING = auto()  # A response instead of the upgrade is under way.
    OPEN = auto()  # Frames go to and fro.
    CLOSING = auto()  # We have sent a close frame.
    OVER = auto()  # Nothing more is sent.


class WebSocketStream:
    """A connection of HTTP/1.1 after its upgrade, or one stream of a connection of HTTP/2 (RFC 8441).

    Attributes:
        closed: It is over for the protocol below; nothing more comes.
        state: How far it has come.
        ping_interval: Seconds between pings; infinity for none.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        send: Callable[[Event], Awaitable[None]],
        stream_id: int,
        outlet: Outlet | None = None,
    ) -> None:
        """``outlet`` is there if the connection is the WebSocket's alone, and takes its frames as they are."""
        self.closed = False
        self.state = State.HANDSHAKE
        self.ping_interval = math.inf
        self._surroundings = surroundings
        self._send = send
        self._stream_id = stream_id
        self._outlet = outlet
        self._incoming = Incoming(surroundings.config.websocket_max_message_size)
        self._several = False
        self._pinging = False  # A ping waits to be sent.
        self._left = False  # The application has been told that the client left.
        self._decided: trio.Event | None = None  # There is if bytes wait for the application to accept or refuse.
        self._put: Put = _to_nobody  # To the application, once it runs.

    @property
    def is_open(self) -> bool:
        """Whether frames go to and fro."""
        return self.state is State.OPEN and not self.closed

    @property
    def idle(self) -> bool:
        """Whether a connection of HTTP/2 may end for all that this has to do."""
        return self.state in (State.CLOSING, State.OVER)

    # From the client

    async def handle(self, event: Event) -> None:
        """Take in what happened on the connection."""
        if self.closed:
            return
        if isinstance(event, (Body, Data)):
            if self.state is State.HANDSHAKE:
                self._decided = trio.Event()
                await self._decided.wait()
            if self.state in (State.OPEN, State.CLOSING) and not self.closed:
                await self._take_in(event.data)
        elif isinstance(event, Request):
            await self._begin(event)
        elif isinstance(event, EndBody):  # Of HTTP/2: it has ended its side without a close frame.
            await self._send(StreamClosed(self._stream_id))
        elif isinstance(event, StreamClosed):
            self.closed = True
            self._note_decision()
            over = self.state in (State.CLOSING, State.OVER)
            await self._leave(CloseReason.NORMAL_CLOSURE if over else CloseReason.ABNORMAL_CLOSURE)

    async def _begin(self, request: Request) -> None:
        surroundings = self._surroundings
        self._began = time()
        self._handshake = Handshake(request.headers, request.http_version)
        path, _, query = request.raw_path.partition(b"?")
        self._scope: WebsocketScope = {
            "type": "websocket",
            "asgi": {"spec_version": "2.3", "version": "3.0"},
            "http_version": request.http_version,
            "scheme": "wss" if surroundings.tls else "ws",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": surroundings.config.root_path,
            "headers": request.headers,
            "client": surroundings.client,
            "server": surroundings.server,
            "subprotocols": self._handshake.subprotocols,
            "state": ConnectionState(request.state.copy()),
            "extensions": {"websocket.http.response": {}, DIRECT: cast("dict[object, object]", self)},
        }
        refusal = self._handshake.refusal()
        if not valid_server_name(surroundings.config, request):
            refusal = Refusal(404, "no such server name here")
        if refusal is None:
            self._put = await surroundings.tasks.spawn_app(
                surroundings.app, surroundings.config, cast("Scope", self._scope), self.app_send
            )
            await self._put({"type": "websocket.connect"})
        else:
            await self._refuse(refusal)
            await self._send(StreamClosed(self._stream_id))

    async def _take_in(self, data: bytes) -> None:
        try:
            for frame in self._frames.read(data):
                if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
                    if self.state is State.OPEN and not self._incoming.add(frame):  # Else it is for nobody.
                        await self._hand_on()
                        await self._put({"type": "websocket.receive", "text": None, "bytes": None})
                    continue
                await self._hand_on()  # In order.
                if frame.opcode is Opcode.PING:
                    await self._send_frame(control_frame(Opcode.PONG, cast("bytes", frame.payload)))
                elif frame.opcode is Opcode.CLOSE:
                    code, reason = cast("tuple[int, str]", frame.payload)
                    await self._end(code, reason)
            await self._hand_on()
        except ParseFailed as error:
            await self._hand_on()
            code = CloseReason.MESSAGE_TOO_BIG if self._incoming.too_big else error.code
            await self._end(code, str(error), CloseReason.ABNORMAL_CLOSURE)

    async def _hand_on(self) -> None:
        """Give the application the messages that lie ready: of one read at most, so that its queue is bounded."""
        messages = self._incoming.take()
        if self._several and len(messages) > 1:
            await self._put(cast("ASGIReceiveEvent", {"type": "websocket.receive", "messages": messages}))
            return
        for message in messages:
            text, octets = (message, None) if isinstance(message, str) else (None, message)
            await self._put({"type": "websocket.receive", "text": text, "bytes": octets})

    async def _end(self, code: int, reason: str, left: int | None = None) -> None:
        """The client has sent a close frame, or something that is no frame: nothing more is read."""
        answering = self.state is State.OPEN
        self.state = State.OVER
        await self._leave(left or (code if answering else CloseReason.NORMAL_CLOSURE))
        if answering:
            await self._send_frame(close_frame(code, reason))
        await self._send(EndData(self._stream_id))
        await self._send(StreamClosed(self._stream_id))

    async def _leave(self, code: int) -> None:
        if not self._left:
            self._left = True
            await self._put({"type": "websocket.disconnect", "code": int(code)})

    # From the application

    async def app_send(self, message: ASGISendEvent | None) -> None:
        """Take in what the application sends; None when it has ended."""
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
        wishes = cast("dict[str, object]", message).get(DIRECT)
        if isinstance(wishes, Wishes):
            self._several, self.ping_interval = wishes.several, wishes.ping_interval
        headers = build_and_validate_headers(message["headers"])
        if (subprotocol := message["subprotocol"]) is not None:
            headers.append((b"sec-websocket-protocol", subprotocol.encode()))
        status, headers = self._handshake.answer(headers)
        del self._handshake  # Not to be kept for hours.
        self._frames = FrameReader()
        self.state = State.OPEN
        await self._send(Response(self._stream_id, headers, status))
        await self._log(status)
        self._surroundings.note_websocket()

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
        body = refusal.text.encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8")] if body else []
        headers += [*refusal.headers, (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        await self._send(Response(self._stream_id, headers, refusal.status))
        if body:
            await self._send(Body(self._stream_id, body))
        await self._send(EndBody(self._stream_id))
        await self._log(refusal.status)

    async def _log(self, status: int) -> None:
        response = {"type": "websocket.http.response.start", "status": status, "headers": []}
        seconds = time() - self._began
        await self._surroundings.config.log.access(self._scope, cast("WebsocketResponseStartEvent", response), seconds)

    # To the client

    async def ping(self) -> None:
        """Ask the client for a sign of life, unless it still has to take the last such question."""
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


async def _to_nobody(event: ASGIReceiveEvent) -> None:
    """What there is for an application that does not run."""
