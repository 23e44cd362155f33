"""Compression as a request announces it: how its messages are compressed, and how ours may be.

A client that compresses is answered in kind if it accepts that. Others are not: compressing costs the gateway more than
it saves the network.
"""

from typing import Final

from echo.rpc import GRPCError, Status
from echo.wire import IDENTITY, SUPPORTED, accepts

ACCEPTED: Final = ",".join(SUPPORTED)


def request_encoding(announced: str | None) -> str:
    """The encoding of a request's messages.

    Args:
        announced: What its header says; None without one.

    Raises:
        GRPCError: UNIMPLEMENTED: it is none of ours; the text lists those, as Connect wants it.
    """
    encoding = announced or IDENTITY
    if encoding not in SUPPORTED:
        text = f"unknown compression {encoding[:32]!r}: supported encodings are {', '.join(SUPPORTED)}"
        raise GRPCError(Status.UNIMPLEMENTED, text)
    return encoding


def response_encoding(requested: str, accepted: str | None) -> str:
    """The encoding of a response's messages.

    Args:
        requested: That of the request's.
        accepted: What its header says it takes; without one, what it uses itself.
    """
    return requested if accepted is None or accepts(accepted, requested) else IDENTITY
