"""Whether the peer is still there: PINGs on a quiet connection (RFC 9113 §6.7)."""

from dataclasses import dataclass
from typing import Final

PING_DATA: Final = b"echo-kpa"


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When to ask and how long to wait, in seconds.

    Attributes:
        time: Silence of the peer after which a PING is sent.
        timeout: How long its answer may take; then the connection counts as lost.
    """

    time: float
    timeout: float = 20.0
