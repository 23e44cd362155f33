"""What a parent and a worker say to one another; each message is one packet.

Parent to worker: `Connection` (with a socket beside it), `End`, `Stop`, `Retire`, `Ask`, `Ping`.
Worker to parent: `Ready`, `Counts`, `Leaving`, `Part`.

Which listener a connection belongs to is a number: the place of the listener in the parent's list.
"""

from typing import Final, TypeAlias

import msgspec

__all__ = [
    "LAST_WORD",
    "MAX_MESSAGE",
    "PART",
    "Ask",
    "Connection",
    "Counts",
    "End",
    "FromParent",
    "FromWorker",
    "Leaving",
    "Part",
    "Ping",
    "Ready",
    "Retire",
    "Stop",
]

PART: Final = 32 * 1024  # Bytes of an answer in one message; the system's buffer for a channel holds several.
MAX_MESSAGE: Final = PART + 64
LAST_WORD: Final = 0
"""The number of an answer that nobody has asked for: the worker's last."""


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Any of them."""


class Connection(_Message, frozen=True):
    """A connection that was accepted on this listener; its socket comes with the message."""

    listener: int


class End(_Message, frozen=True):
    """No more connections of this listener follow."""

    listener: int


class Stop(_Message, frozen=True):
    """Everything stops: drain. Connections may still follow, up to `End`."""


class Retire(_Message, frozen=True):
    """Drain; other workers go on serving."""


class Ask(_Message, frozen=True):
    """Answer with what is collected, in `Part` messages of this number."""

    number: int


class Ping(_Message, frozen=True):
    """Say `Counts`."""


class Ready(_Message, frozen=True):
    """It serves."""


class Counts(_Message, frozen=True):
    """How many connections the worker has taken so far, and how many of them have ended."""

    taken: int
    ended: int


class Leaving(_Message, frozen=True):
    """It wants no more connections of this listener; it goes on taking those that come, until `End`."""

    listener: int


class Part(_Message, frozen=True):
    """A piece of the answer to `Ask`, or of the `LAST_WORD`."""

    number: int
    data: bytes
    last: bool


FromParent: TypeAlias = Connection | End | Stop | Retire | Ask | Ping
FromWorker: TypeAlias = Ready | Counts | Leaving | Part
