"""The encodings of a request's messages and of the response's.

A response is compressed only if the request was and the client accepts the encoding: otherwise compressing costs the
gateway more than it saves the network.
"""

from typing import Final

from echo.rpc import GRPCError, Status
from echo.wire import IDENTITY, SUPPORTED, accepts

ACCEPTED: Final = ",".join(SUPPORTED)


def request_encoding(announced: str | None) -> str:
    """The encoding of a request's messages.

    Args:
        announced: The value of its header; None if it is missing.

    Raises:
        GRPCError: UNIMPLEMENTED: the encoding is not supported; the message lists the supported ones, as Connect
            requires.
    """
    encoding = announced or IDENTITY
    if encoding not in SUPPORTED:
        text = f"unknown compression {encoding[:32]!r}: supported encodings are {', '.join(SUPPORTED)}"
        raise GRPCError(Status.UNIMPLEMENTED, text)
    return encoding


def response_encoding(requested: str, accepted: str | None) -> str:
    """The encoding of a response's messages.

    Args:
        requested: The encoding of the request's messages.
        accepted: The encodings that the client's header lists; None if it is missing, which accepts ``requested``.
    """
    return requested if accepted is None or accepts(accepted, requested) else IDENTITY
