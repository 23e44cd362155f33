"""The socket beneath both raw load generators: it blocks, and gives up by itself when the server falls silent."""

import socket
import struct
from typing import Final

TIMEOUT: Final = 20.0  # Seconds without a byte from the server, or without room for ours, after which a run fails.
READ_SIZE: Final = 256 * 1024


class RunFailed(Exception):
    """The server broke off or fell silent, or what it did is not what was to be measured."""


class RawSocket:
    """A connection to the loopback, without Nagle's delays. Close it.

    Its time-out is the kernel's: Python's own costs a ``poll()`` for every read and every write.
    """

    def __init__(self, port: int) -> None:
        """Connect. Raises OSError."""
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit = struct.pack("ll", int(TIMEOUT), 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def send(self, data: bytes) -> None:
        """Write all of it. Raises RunFailed."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise RunFailed(f"the server took no more: {error}") from None

    def receive(self) -> bytes:
        """What has come, at least a byte. Raises RunFailed."""
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            raise RunFailed(f"the server sent nothing for {TIMEOUT} seconds") from None
        except OSError as error:
            raise RunFailed(f"the connection broke: {error}") from None
        if not data:
            raise RunFailed("the server closed the connection")
        return data

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()
