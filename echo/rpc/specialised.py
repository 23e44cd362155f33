"""The type of a specialised class's functions; separate from `echo.rpc.specialise`, which loads protobuf."""

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Specialised"]


class Specialised(NamedTuple):
    """The two functions for a class. ``decode`` raises ValueError for bytes that are not a message."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
