"""Hypercorn's side of one WebSocket, mended: frames <-> ASGI messages.

`WebSocketStream` takes the place of Hypercorn 0.18's ``WSStream``; see `echo.gateway.connection`. What differs:

- Bytes that a client sends before the upgrade is answered wait for it, instead of failing the connection.
- A message over the limit is counted in bytes, not kept, and left to the application to close for; Hypercorn would
  close by itself and go on to collect it.
- A client that breaks the protocol is told so, with 1002 or 1007 (RFC 6455 §7.1.7), instead of cut off.
- The application hears that the client has left before the answer to its close frame is sent, which may have to wait.
- Nothing waits for an application that has ended, nor for ever for a client of HTTP/2 that opens no window for answers.
- A stream of HTTP/2 ends when its WebSocket does; Hypercorn would leave it open, until there were too many.
- No compression: a window costs some 300 KiB a connection, and a few bytes inflate to megabytes before any limit.
- Several texts can go out in one write, and messages that came in one read reach the application in one step.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import MethodType
from typing import Any, Final, cast

import trio
from hypercorn.protocol.events import Body, Data, EndBody, EndData, Event, Request, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent, ConnectionState
from wsproto.connection import ConnectionState as FrameState
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from echo.gateway.status import cut_reason
from echo.gateway.websocket import SEND_TEXTS, TAKES_SEVERAL

ANSWER_TIMEOUT: Final = 60.0  # Seconds a client may let us wait to answer its ping or close frame.

_TOO_BIG: Final = cast("ASGIReceiveEvent", {"type": "websocket.receive", "text": None, "bytes": None})


class WebSocketStream(WSStream):
    """One WebSocket: a connection of HTTP/1.1, or one stream of a connection of HTTP/2 (RFC 8441)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parts: list[Any] = []  # Of a message that is not complete yet,
        self._size = 0  # and how many bytes they have.
        self._too_big = False
        self._whole: list[str | bytes] = []  # Messages that came together, for the application.
        self._takes_several = False  # The application wants them together.
        self._pinging = False  # A ping waits to be sent.
        self._left = False  # The application has been told that the client left.
        self._decided = trio.Event()  # The application has accepted or refused.

    @property
    def _queue(self) -> "trio.MemorySendChannel[ASGIReceiveEvent] | None":
        """To the application, while that runs. Hypercorn keeps its `send` alone; the queue can also be closed."""
        return None if self.app_put is None else cast("MethodType", self.app_put).__self__  # type: ignore[return-value]

    @property
    def is_open(self) -> bool:
        """Whether frames go to and fro."""
        return self.state is ASGIWebsocketState.CONNECTED and not self.closed

    async def ping(self) -> None:
        """Ask the client for a sign of life, unless it still has to take the last such question."""
        if self.is_open and not self._pinging:
            self._pinging = True
            await self._send_wsproto_event(Ping())
            self._pinging = False

    async def handle(self, event: Event) -> None:
        """Take in what happened on the connection."""
        if self.closed:
            return
        if isinstance(event, (Body, Data)):
            if not self.handshake.accepted:
                await self._decided.wait()
            if self.handshake.accepted and not self.closed:
                self.connection.receive_data(event.data)
                await self._handle_events()
        elif isinstance(event, Request):
            headers = [header for header in event.headers if header[0].lower() != b"sec-websocket-extensions"]
            state = ConnectionState({**event.state, SEND_TEXTS: True})
            await super().handle(replace(event, headers=headers, state=state))
        elif isinstance(event, EndBody):  # Of HTTP/2: it has ended its side without a close frame.
            await self.send(StreamClosed(stream_id=self.stream_id))
        elif isinstance(event, StreamClosed):
            self.closed = True
            self._decided.set()
            over = self.state in {ASGIWebsocketState.HTTPCLOSED, ASGIWebsocketState.CLOSED}
            await self._leave(CloseReason.NORMAL_CLOSURE if over else CloseReason.ABNORMAL_CLOSURE)

    async def app_send(self, message: ASGISendEvent | None) -> None:
        """Take in what the application sends; None when it has ended."""
        if message is None:
            self._forget_application()
        elif (texts := message.get("texts")) is not None:
            await self._send_texts(cast("Sequence[str]", texts))
            return
        elif TAKES_SEVERAL in message:
            self._takes_several = True
        await super().app_send(message)
        if self.state is not ASGIWebsocketState.HANDSHAKE:
            self._decided.set()

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                await self._take(event)
                continue
            await self._hand_on()  # In order.
            if isinstance(event, Ping):
                with trio.fail_after(ANSWER_TIMEOUT):
                    await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                await self._end(event)
        await self._hand_on()

    async def _take(self, event: TextMessage | BytesMessage) -> None:
        """Add to the message that is coming in, and lay it ready once it is complete."""
        if self._too_big or self.connection.state is not FrameState.OPEN:
            return  # It is for nobody: the connection is being closed.
        data = event.data if isinstance(event.data, str) else bytes(event.data)
        self._size += len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        if self._size > self.config.websocket_max_message_size:
            self._too_big = True
            self._parts = []
            await self._hand_on()
            await self._put(_TOO_BIG)
            return
        self._parts.append(data)
        if event.message_finished:
            whole = self._parts[0] if len(self._parts) == 1 else type(data)().join(self._parts)
            self._parts = []
            self._size = 0
            self._whole.append(whole)

    async def _hand_on(self) -> None:
        """Give the application the messages that lie ready: of one read at most, so that its queue is bounded."""
        if not self._whole:
            return
        messages, self._whole = self._whole, []
        if self._takes_several and len(messages) > 1:
            await self._put(cast("ASGIReceiveEvent", {"type": "websocket.receive", "messages": messages}))
            return
        for message in messages:
            text, octets = (message, None) if isinstance(message, str) else (None, message)
            await self._put({"type": "websocket.receive", "text": text, "bytes": octets})

    async def _end(self, event: CloseConnection) -> None:
        """The client has sent a close frame, or something that is no frame."""
        state = self.connection.state
        await self._leave(CloseReason.NORMAL_CLOSURE if state is FrameState.CLOSED else event.code)
        with trio.fail_after(ANSWER_TIMEOUT):
            if state is FrameState.REMOTE_CLOSING:
                await self._send_wsproto_event(event.response())
            elif state is FrameState.OPEN:  # wsproto could not parse what came; code and reason are its own.
                code = CloseReason.MESSAGE_TOO_BIG if self._too_big else event.code
                await self._send_wsproto_event(CloseConnection(code, cut_reason(event.reason or "")))
            await self.send(EndData(stream_id=self.stream_id))
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _leave(self, code: int) -> None:
        if not self._left:
            self._left = True
            await self._put({"type": "websocket.disconnect", "code": int(code)})

    async def _put(self, event: ASGIReceiveEvent) -> None:
        queue = self._queue
        if queue is None:
            return
        try:
            queue.send_nowait(event)  # A message that there is room for costs no trip through the scheduler.
        except trio.WouldBlock:
            with suppress(trio.ClosedResourceError):  # The application has ended meanwhile.
                await queue.send(event)

    def _forget_application(self) -> None:
        """Nobody receives any more: let go whoever waits for room in the application's queue, now and later."""
        if self._queue is not None:
            self._queue.close()
            self.app_put = None

    async def _send_texts(self, texts: Sequence[str]) -> None:
        """Send text messages in one write, each in a frame of its own; nothing if either side has closed."""
        if self.is_open and self.connection.state is FrameState.OPEN:
            await self.send(Data(stream_id=self.stream_id, data=b"".join([text_frame(text) for text in texts])))


def text_frame(text: str) -> bytes:
    """A text message as a server sends it: one frame, not masked (RFC 6455 §5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 0x10000:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)
