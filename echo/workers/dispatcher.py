"""What a `Worker` reports to the object that distributes connections; `Placement` implements it."""

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from echo.workers.worker import Worker

__all__ = ["Connections", "Dispatcher"]

Connections = Iterable[tuple[int, socket.socket]]
"""Connections, each with the number of its listener."""


class Dispatcher(Protocol):
    """Distributes connections among workers. No method waits."""

    def add(self, worker: "Worker") -> None:
        """Add a worker that now serves."""

    def remove(self, worker: "Worker") -> None:
        """Remove a worker that has ended."""

    def distribute(self) -> None:
        """Try again to give away held connections: a worker's state has changed."""

    def reassign(self, connections: Connections) -> None:
        """Give other workers the connections that a worker did not take."""
