"""One WebSocket, straight on ASGI: no task, no queue and no signal between Hypercorn and the relay.

quart-trio's own connection class reads ahead in a task that cancels the handler when the client leaves, takes an empty
binary message for none at all, and closes with 1000 when a handler fails. This one leaves reading to the handler.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The client is gone, by a close frame or without one: Hypercorn does not tell which."""


DISCONNECTED: Final = Disconnected()


class Socket:
    """A WebSocket from the server's side. One task receives, one sends.

    Attributes:
        accepted: The handshake was answered with 101.
        closed: A close frame was sent, or the client is gone.
    """

    def __init__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        self._receive = receive
        self._send = send
        self.accepted = False
        self.closed = False

    async def accept(self, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answer the handshake."""
        self.accepted = True
        await self._send({"type": "websocket.accept", "subprotocol": None, "headers": list(headers)})

    async def receive(self) -> str | bytes | Disconnected:
        """The next message, text or binary, perhaps empty. A receive that is cancelled has taken nothing."""
        event = await self._receive()
        if event["type"] == "websocket.receive":
            text = event["text"]
            return text if text is not None else event["bytes"] or b""
        self.closed = True
        return DISCONNECTED

    async def send(self, text: str) -> None:
        """Send a text message; waits while the client takes less than we send. Nothing is sent to who is gone."""
        await self._send({"type": "websocket.send", "bytes": None, "text": text})

    async def close(self, code: int, reason: str = "") -> None:
        """Send a close frame (RFC 6455 §5.5.1); does nothing the second time, nor to who is gone."""
        if not self.closed:
            self.closed = True
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
