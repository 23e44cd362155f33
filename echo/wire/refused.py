"""Reads refused requests for the access log."""

from multidict import MultiDict

from echo.wire.fields import FieldList
from echo.wire.head import Request
from echo.wire.metadata import Metadata


def read_refused(received: FieldList) -> Request:
    """The parts of a refused request that a log may show: its path and its text metadata."""
    metadata: Metadata = MultiDict()
    for name, value in received.custom:
        if not name.endswith(b"-bin"):
            metadata.add(name.decode("latin-1"), value.decode("latin-1"))
    return Request(received.pseudo.get(b":path", b"").decode("latin-1"), metadata=metadata)
