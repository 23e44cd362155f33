"""One WebSocket as the relay sees it, directly on ASGI.

Nothing of Quart or Quart-Trio is between the relay and the ASGI server. Their own WebSocket class would cancel the
handler when the client leaves (so that a call could not be ended properly), fail on an empty binary message, close with
1000 when the handler fails, and queue every message twice. `echo.gateway.websocket_handling` is its place in Quart.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import cast

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, WebsocketScope

from echo.close_codes import ABNORMAL, NO_CODE
from echo.gateway.access import SocketNotes
from echo.gateway.hypercorn_compat import CLOSE_TIMEOUT, DIRECT, AcceptOptions, Direct
from echo.gateway.status import Close
from echo.gateway.tracing import RequestTrace, trace_of


class NoMessage(Enum):
    """Why `Socket.receive` returns no more messages."""

    DISCONNECTED = "the client has left, with a close frame or without"
    TOO_BIG = "the client sent a message over the limit; it is still connected"


class Socket:
    """A WebSocket, before and after the upgrade. One task may receive while another sends; `close` counts as sending.

    Attributes:
        accepted: The upgrade has been made.
        closed: Nothing more can be sent: we have closed it, or the client has left.
        notes: What the access log reports about it.
        trace: Its trace; None if it is not traced.
    """

    def __init__(
        self,
        scope: WebsocketScope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        *,
        max_message_size: int,
        ping_interval: float,
    ) -> None:
        self.accepted = False
        self.closed = False
        self._receive = receive
        self._send = send
        self._max_message_size = max_message_size
        self._accept_options = AcceptOptions(batched=True, ping_interval=ping_interval)
        self._direct = cast("Direct | None", scope["extensions"].get(DIRECT))
        self._received: Iterator[str | bytes] = iter(())  # Messages that arrived together with the last one.
        self.notes = SocketNotes(scope)
        self.trace: RequestTrace | None = trace_of(scope)

    async def accept(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Accept the handshake, with these headers in the response."""
        self.accepted = self.notes.accepted = True
        encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
        accept = {"type": "websocket.accept", "subprotocol": None, "headers": encoded, DIRECT: self._accept_options}
        await self._send(cast("ASGISendEvent", accept))

    async def reject(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer the handshake with an HTTP response instead of the upgrade."""
        self.closed = True
        self.notes.end(status, "")
        encoded = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "websocket.http.response.start", "status": status, "headers": encoded})
        await self._send({"type": "websocket.http.response.body", "body": body, "more_body": False})

    async def receive(self) -> str | bytes | NoMessage:
        """The next message, or why there will be none. Must not be called again after a `NoMessage`."""
        message = next(self._received, None)
        if message is None:
            event = await self._receive()
            if event["type"] != "websocket.receive":
                self.closed = True
                code = cast("int", event.get("code", NO_CODE))
                how = "the client closed it" if code != ABNORMAL else "the client left without a close frame"
                why = cast("str", event.get("why", ""))  # Why `hypercorn_compat` has ended it.
                self.notes.end(code, why or how, by_client=not why)
                return NoMessage.DISCONNECTED
            batch = cast("list[str | bytes] | None", event.get("messages"))
            if batch is None:
                message = event.get("text")
                if message is None:
                    message = event.get("bytes")
            else:
                self._received = iter(batch)
                message = next(self._received)
        if message is None:  # Too big for the ASGI server, which has dropped it.
            return NoMessage.TOO_BIG
        size = _size(message)
        if size > self._max_message_size:
            return NoMessage.TOO_BIG
        self.notes.messages_in += 1
        self.notes.bytes_in += size
        return message

    def send_now(self, texts: Sequence[str]) -> bool:
        """Send text messages without waiting, if possible; returns whether they were taken.

        Must not be called during a `send`. If `pending` is true afterwards, a `send` must follow, possibly without
        texts.
        """
        taken = self._direct is not None and self._direct.send_now(texts)
        if taken:
            self.notes.sent(texts)
        return taken

    @property
    def pending(self) -> bool:
        """Whether bytes taken by `send_now` are waiting for `send`."""
        return self._direct is not None and self._direct.pending

    async def send(self, texts: Sequence[str]) -> None:
        """Send text messages. Waits while the client does not read; does nothing once it has left."""
        self.notes.sent(texts)
        if self._direct is not None:  # It costs less than ASGI events.
            await self._direct.send_texts(texts)
            return
        for text in texts:
            await self._send({"type": "websocket.send", "bytes": None, "text": text})

    async def close(self, close: Close) -> None:
        """Send a close frame and wait for the client's, for at most `CLOSE_TIMEOUT`; does nothing if already closed.

        Whatever the client sends meanwhile is read and dropped: if it were left unread when the connection is closed,
        TCP would reset the connection, and the client might never see our close frame (RFC 6455 §7.1.1).
        """
        if self.closed:
            return
        self.closed = True
        self.notes.end(close.code, close.reason)
        await self._send({"type": "websocket.close", "code": close.code, "reason": close.reason})
        with trio.move_on_after(CLOSE_TIMEOUT):
            while (await self._receive())["type"] == "websocket.receive":
                pass


def _size(message: str | bytes) -> int:
    """The size of a message in bytes; text counts as UTF-8."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())
