"""Makes accept(2) fail, uses up the descriptors of the process, and provides minimal clients."""

import errno
import os
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.serving import LOOPBACK

FOR_EVER = 1_000_000

# accept(2): "detect the network errors defined for the protocol after accept() and treat them like EAGAIN".
GONE = [
    *("ECONNABORTED", "ECONNRESET", "EPERM", "EPROTO", "ETIMEDOUT"),
    *("ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH"),
    *("ENOSR", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT"),
]
EXHAUSTED = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]


class FaultyAccept:
    """The system's accept, made to fail a given number of times; every socket of the process uses it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts = 0
        self._number = self._times = 0
        real = socket.socket._accept  # type: ignore[attr-defined]

        def accept(listening: socket.socket) -> object:
            self.attempts += 1
            if self._times:
                self._times -= 1
                raise OSError(self._number, os.strerror(self._number))
            return real(listening)

        monkeypatch.setattr(socket.socket, "_accept", accept)

    def fail(self, name: str, times: int = 1) -> None:
        self._number, self._times = getattr(errno, name), times

    @property
    def failed(self) -> bool:
        """Wait until all failures have happened."""
        return not self._times


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection((LOOPBACK, port)) as client:
        yield client


def reset(client: socket.socket) -> None:
    """Close with a TCP reset, like a process that is killed with unread data."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def no_descriptors() -> Callable[[], None]:
    """Use up what the process may open; returns what gives it back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 20, limits[1]))
    taken: list[int] = []

    def give_back() -> None:
        while taken:
            os.close(taken.pop())
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        return give_back
