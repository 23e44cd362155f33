"""The request headers that a record keeps: in order, without secrets, bounded in size."""

from collections.abc import Iterable
from typing import Final

MAX_HEADERS_SIZE: Final = 16 * 1024  # Bytes of header fields kept.
SECRET: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})


def kept_headers(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Names and values as received, including repeats. Secrets are replaced by their length; the excess is cut off."""
    kept, room = [], MAX_HEADERS_SIZE
    for name, value in fields:
        if name in SECRET:
            value = b"%d" % len(value)
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    return kept
