"""The channel between a parent and one worker: a socket pair that carries messages, and sockets with them (unix(7)).

It carries packets, not a stream, so a message and its socket arrive whole or not at all. A packet that has been sent
but not received can be read by anyone who holds the receiving end. So the parent keeps the worker's end too, and takes
back the connections that a dead or stuck worker has not taken.
"""

import errno
import logging
import os
import socket
import sys
from array import array
from typing import Final, Generic, TypeVar

import msgspec
import trio

from echo.workers.messages import MAX_MESSAGE, Connection, FromParent, FromWorker

__all__ = ["Channel", "ParentChannel", "WorkerChannel", "channel_pair"]

log = logging.getLogger(__name__)

RETRY_DELAY: Final = 0.1  # Seconds to wait after the process has run out of descriptors.

# No room for the message, or too many sockets in flight.
_FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})

In = TypeVar("In")
Out = TypeVar("Out")


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """The parent's end and the worker's end.

    Raises:
        OSError: The system has no SOCK_SEQPACKET, or no descriptors left.
    """
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        end.setblocking(False)
    return pair


class Channel(Generic[In, Out]):
    """One end of a channel.

    Args:
        end: The socket, closed by `close`.
        incoming: The type of the messages that arrive.
    """

    def __init__(self, end: socket.socket, incoming: object) -> None:
        self._end = end
        self._decoder: msgspec.msgpack.Decoder[In] = msgspec.msgpack.Decoder(incoming)
        self._encode = msgspec.msgpack.Encoder().encode
        self._sending = trio.Lock()
        self._one_descriptor = socket.CMSG_LEN(array("i").itemsize)

    def send_now(self, message: Out, beside: socket.socket | None = None) -> bool:
        """Send a message, and a socket with it, whose descriptor the caller still closes; False if there is no room.

        Raises:
            trio.BrokenResourceError: The other end is closed.
        """
        try:
            if beside is None:
                self._end.send(self._encode(message))
            else:
                socket.send_fds(self._end, [self._encode(message)], [beside.fileno()])
        except OSError as error:
            if error.errno in _FULL:
                return False
            raise trio.BrokenResourceError from error
        return True

    async def send(self, message: Out) -> None:
        """Send a message, waiting for room.

        Raises:
            trio.BrokenResourceError: The other end is closed.
        """
        async with self._sending:
            while not self.send_now(message):
                await trio.lowlevel.wait_writable(self._end)

    async def receive(self) -> tuple[In, socket.socket | None]:
        """Wait for the next message; returns it with its socket, if any.

        Raises:
            trio.EndOfChannel: The other end is closed, and everything it sent has been received.
            ValueError: The message is invalid.
        """
        await trio.lowlevel.checkpoint()
        while (received := self.receive_now()) is None:
            await trio.lowlevel.wait_readable(self._end)
        return received

    def receive_now(self) -> tuple[In, socket.socket | None] | None:
        """Like `receive`, but returns None if no message is there."""
        try:
            # Not `socket.recv_fds`, which ignores its flags.
            data, ancillary, _, _ = self._end.recvmsg(MAX_MESSAGE, self._one_descriptor, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except OSError as error:
            raise trio.EndOfChannel from error
        if not data:
            raise trio.EndOfChannel
        beside = None
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                beside = socket.socket(fileno=int.from_bytes(content, sys.byteorder))
        try:
            return self._decoder.decode(data), beside
        except msgspec.MsgspecError as error:
            if beside is not None:
                beside.close()
            raise ValueError(str(error)) from error

    def close(self) -> None:
        """Close this end."""
        self._end.close()


class WorkerChannel(Channel[FromParent, FromWorker]):
    """The worker's end."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(end, FromParent)
        self._warn = log.warning

    async def receive(self) -> tuple[FromParent, socket.socket | None]:
        """Like `Channel.receive`, but waits for a free descriptor first: without one, a message loses its socket."""
        while True:
            await trio.lowlevel.wait_readable(self._end)
            try:
                os.close(os.dup(self._end.fileno()))
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._warn("cannot take connections, retrying: %s", error)
                self._warn = log.debug  # Warn once per shortage.
                await trio.sleep(RETRY_DELAY)
                continue
            received = self.receive_now()
            if received is not None:
                self._warn = log.warning
                return received


class ParentChannel(Channel[FromWorker, FromParent]):
    """The parent's end, with the worker's end to take back what the worker has not received."""

    def __init__(self, end: socket.socket, far_end: socket.socket) -> None:
        super().__init__(end, FromWorker)
        self._far_end: Channel[FromParent, FromWorker] = Channel(far_end, FromParent)

    def take_back(self) -> list[tuple[int, socket.socket]]:
        """Take back the connections that the worker has not received, each with its listener.

        Other messages are sent again.
        """
        found: list[tuple[int, socket.socket]] = []
        others: list[FromParent] = []
        while (received := self._far_end.receive_now()) is not None:
            message, beside = received
            if isinstance(message, Connection) and beside is not None:
                found.append((message.listener, beside))
            else:
                others.append(message)
        for message in others:
            self.send_now(message)
        return found

    def close(self) -> None:
        """Close both ends."""
        super().close()
        self._far_end.close()
