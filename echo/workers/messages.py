"""The messages between a parent and a worker; each is one packet.

Parent to worker: `Connection` (with a socket), `NoMoreConnections`, `Stop`, `Retire`, `Ask`, `Ping`.
Worker to parent: `Ready`, `Counts`, `Declined`, `AnswerPart`.

A listener is named by its index in the parent's list.
"""

from typing import Final, TypeAlias

import msgspec

__all__ = [
    "FINAL_ANSWER",
    "MAX_MESSAGE",
    "PART_SIZE",
    "AnswerPart",
    "Ask",
    "Connection",
    "Counts",
    "Declined",
    "FromParent",
    "FromWorker",
    "NoMoreConnections",
    "Ping",
    "Ready",
    "Retire",
    "Stop",
]

PART_SIZE: Final = 32 * 1024  # Bytes of an answer in one message; the kernel's buffer for a channel holds several.
MAX_MESSAGE: Final = PART_SIZE + 64
FINAL_ANSWER: Final = 0
"""The number of a worker's final answer, which is sent unasked."""


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Any message."""


class Connection(_Message, frozen=True):
    """A connection accepted on this listener; its socket comes with the message."""

    listener: int


class NoMoreConnections(_Message, frozen=True):
    """No more connections from this listener will follow."""

    listener: int


class Stop(_Message, frozen=True):
    """Drain, as all workers do. Connections may still follow, until `NoMoreConnections`."""


class Retire(_Message, frozen=True):
    """Drain; other workers keep serving."""


class Ask(_Message, frozen=True):
    """Asks for the worker's answer, in `AnswerPart` messages with this number."""

    number: int


class Ping(_Message, frozen=True):
    """Asks for `Counts`."""


class Ready(_Message, frozen=True):
    """The worker serves."""


class Counts(_Message, frozen=True):
    """How many connections the worker has taken so far, and how many of those are closed."""

    taken: int
    ended: int


class Declined(_Message, frozen=True):
    """The worker wants no more connections from this listener. It still takes them until `NoMoreConnections`."""

    listener: int


class AnswerPart(_Message, frozen=True):
    """A part of the answer to `Ask`, or of the `FINAL_ANSWER`."""

    number: int
    data: bytes
    last: bool


FromParent: TypeAlias = Connection | NoMoreConnections | Stop | Retire | Ask | Ping
FromWorker: TypeAlias = Ready | Counts | Declined | AnswerPart
