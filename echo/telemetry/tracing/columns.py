"""Columns of values of eight bytes, such as ids and times, which are copied between tables of bytes.

A row of a table is a multiple of eight bytes long; a value may stand anywhere in it. A column is copied by one slice
assignment, so that a value costs no Python object on its way.
"""

import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Final

__all__ = ["column", "numbers", "rows"]

_WORD: Final = "L" if array("L").itemsize == 8 else "Q"  # Python converts numbers faster to the former, where it can.


def column(table: bytes | bytearray, place: int, width: int) -> "memoryview[int]":
    """The eight bytes at this place of each row; those of a bytearray can be replaced: ``column(...)[:] = other``.

    Args:
        table: Rows without anything in between.
        place: Where the value begins in a row.
        width: Bytes of a row, a multiple of eight.
    """
    view = memoryview(table)
    return view[place : len(view) - width + place + 8].cast(_WORD)[:: width // 8]


def numbers(values: Iterable[int]) -> "memoryview[int]":
    """A column of these numbers as protobuf's ``fixed64``.

    Raises:
        OverflowError: One is negative, or takes more than eight bytes.
    """
    found = array(_WORD, values)
    if sys.byteorder == "big":
        found.byteswap()
    return memoryview(found)


def rows(table: bytes | bytearray, width: int) -> Sequence[bytes]:
    """The rows of a table."""
    return _splitter(len(table) // width, width).unpack(table)


@lru_cache(512)
def _splitter(number: int, width: int) -> Struct:
    return Struct(f"{width}s" * number)
