"""The close codes of a WebSocket that mean something here (RFC 6455 §7.4.1)."""

from typing import Final

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
NO_CODE: Final = 1005  # Never sent in a frame: it means that the close frame had none.
ABNORMAL: Final = 1006  # Never sent either: it means that there was no close frame.
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011  # Also for calls that have failed.

STANDARD: Final = frozenset(range(1000, 1016))  # Those of the RFC and of the registry behind it.
