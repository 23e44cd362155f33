"""The headers of a request as they are kept in a record: in order, without secrets, within bounds."""

from collections.abc import Iterable
from typing import Final

MOST_OF_HEADERS: Final = 16 * 1024  # Bytes of header fields that are kept.
SECRET: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})


def kept_headers(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Names and values as they arrived, repeats included; of secrets the length, of too many the first."""
    kept, room = [], MOST_OF_HEADERS
    for name, value in fields:
        if name in SECRET:
            value = b"%d" % len(value)
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    return kept
