"""Keepalive: PINGs that check a quiet connection (RFC 9113 §6.7)."""

from dataclasses import dataclass
from typing import Final

PING_DATA: Final = b"echo-kpa"


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When to send PINGs.

    Attributes:
        time: Seconds of silence after which a PING is sent.
        timeout: Seconds the answer may take; after that the connection counts as lost.
    """

    time: float
    timeout: float = 20.0
