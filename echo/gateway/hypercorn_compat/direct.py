"""An ASGI extension for WebSockets: cheaper ways to send and receive.

A WebSocket's scope has a `Direct` under ``scope["extensions"][DIRECT]``. An application that uses it puts
`AcceptOptions` into its accept message, under the same key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

DIRECT: Final = "echo.websocket.direct"


@dataclass(frozen=True, slots=True)
class AcceptOptions:
    """Options for the WebSocket that the application accepts.

    Attributes:
        batched: Whether messages that arrive together are received together, as a list ``messages`` in one event.
        ping_interval: Seconds between pings; infinity for none. A peer that answers none is dropped.
    """

    batched: bool
    ping_interval: float


class Direct(Protocol):
    """Sends text messages, one per frame. Nothing is sent once either side has closed."""

    def send_now(self, texts: Sequence[str]) -> bool:
        """Pass the texts to the kernel in one write, without waiting, unless another send is in progress.

        Returns:
            Whether the texts were taken. Whatever the kernel does not take at once waits for the next `send_texts`,
            which may be called with no texts (see `pending`).
        """
        ...

    @property
    def pending(self) -> bool:
        """Whether bytes taken by `send_now` are waiting for `send_texts`."""
        ...

    async def send_texts(self, texts: Sequence[str]) -> None:
        """Send the texts in one write, after pending bytes. Waits while the client does not read."""
        ...
