"""What a worker, as its parent sees it, needs of whoever gives workers their connections."""

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from echo.workers.worker import Worker

__all__ = ["Connections", "Employer"]

Connections = Iterable[tuple[int, socket.socket]]
"""With the listener of each."""


class Employer(Protocol):
    """Who gives workers their connections. Nothing of it waits."""

    def add(self, worker: "Worker") -> None:
        """The worker serves."""

    def remove(self, worker: "Worker") -> None:
        """It has ended."""

    def move(self) -> None:
        """It may take connections that it could not take before, or wants no more."""

    def place_again(self, connections: Connections) -> None:
        """It has left these waiting, for too long or when it ended."""
