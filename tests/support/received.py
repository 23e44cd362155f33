"""A request as its server gets it."""

from collections.abc import Collection

from echo.wire.head import Request
from echo.wire.received_request import ReceivedRequest


def received(path: str, metadata: Collection[tuple[str, str]] = ()) -> ReceivedRequest:
    names = tuple(name.encode() for name, _ in metadata)
    values = [value.encode("latin-1") for _, value in metadata]
    return ReceivedRequest(Request(path), None, names, values, False)
