"""Header lists: their fields, their size, and decoded lists that come again, in whole or from their start."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

Field = tuple[bytes, bytes]  # Name and value.
FIELD_OVERHEAD: Final = 32  # Added to a field's length when a list's size is counted (RFC 9113 §6.5.2).


def list_size(fields: Sequence[Field]) -> int:
    """The size of a header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 §6.5.2)."""
    return sum(map(len, chain.from_iterable(fields))) + FIELD_OVERHEAD * len(fields)


class Recurring(list[Field]):
    """A header list that may come again as this very object, as those of a method's calls do. Read-only.

    Attributes:
        meaning: What the connection has made of it, kept for the next time.
    """

    __slots__ = ("meaning",)

    def __init__(self, fields: Sequence[Field]) -> None:
        super().__init__(fields)
        self.meaning: Any = None


class Started(Sequence[Field]):
    """A header list that starts with one that has come before. Its fields are put together for those who ask.

    Attributes:
        start: The list that it starts with.
        names: The names of the other fields,
        values: and their values.
    """

    __slots__ = ("names", "start", "values")

    def __init__(self, start: Recurring, names: tuple[bytes, ...], values: Sequence[bytes]) -> None:
        self.start: Recurring = start
        self.names: tuple[bytes, ...] = names
        self.values: Sequence[bytes] = values

    def __getitem__(self, index: Any) -> Any:
        return [*self][index]

    def __iter__(self) -> Iterator[Field]:
        return chain(self.start, zip(self.names, self.values, strict=True))

    def __len__(self) -> int:
        return len(self.start) + len(self.names)
