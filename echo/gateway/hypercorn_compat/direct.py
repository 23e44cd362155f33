"""What a WebSocket offers the application besides ASGI, as an ASGI extension: cheaper ways to send and receive.

The scope of a WebSocket has the `Direct` under ``scope["extensions"][DIRECT]``. An application that uses it says so by
putting `Wishes` into the message that accepts, under the same key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

DIRECT: Final = "echo.websocket.direct"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the application wants of the WebSocket it accepts.

    Attributes:
        several: Messages that came together shall be received together, as a list ``messages`` in one event.
        ping_interval: Seconds between pings; infinity for none. A peer that answers none is dropped.
    """

    several: bool
    ping_interval: float


class Direct(Protocol):
    """Ways to send text messages, each in a frame of its own. Nothing is sent once either side has closed."""

    def send_now(self, texts: Sequence[str]) -> bool:
        """Give the texts to the kernel, all at once and without waiting, if nothing else is on its way there.

        Returns:
            Whether the texts were taken. What the kernel does not take of them at once waits for the next
            `send_texts`, which may be given no texts: `pending` tells.
        """
        ...

    @property
    def pending(self) -> bool:
        """Whether something that `send_now` took waits to be sent by `send_texts`."""
        ...

    async def send_texts(self, texts: Sequence[str]) -> None:
        """Send the texts in one write, after what is pending. Waits while the client takes none."""
        ...
