"""Requests that were refused, as a log may tell of them."""

from multidict import MultiDict

from echo.wire.fields import FieldList
from echo.wire.head import Request
from echo.wire.metadata import Metadata


def read_refused(received: FieldList) -> Request:
    """What can be read of a request that cannot be served, for a log: its path, and metadata that is text."""
    metadata: Metadata = MultiDict()
    for name, value in received.custom:
        if not name.endswith(b"-bin"):
            metadata.add(name.decode("latin-1"), value.decode("latin-1"))
    return Request(received.pseudo.get(b":path", b"").decode("latin-1"), metadata=metadata)
