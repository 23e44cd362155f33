"""Decoded header lists that come again, in whole or from their start, as those of a method's calls do."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from echo.wire.fields import FieldList
    from echo.wire.head import Response, Trailers
    from echo.wire.hpack import ReceivedField
    from echo.wire.recognise import Start


class Recurring(list["ReceivedField"]):
    """A header list that may come again as this very object, so what was found about it is kept with it. Read-only.

    Attributes:
        size: As SETTINGS_MAX_HEADER_LIST_SIZE counts it.
        allowed: The pseudo-header fields that were allowed when it was checked, if it was;
        checked: and what that gave (`echo.wire.fields.check_fields`).
        recognised: The request that it starts, if `echo.wire.recognise` has recognised it.
        answer: The head of a response or the trailers that it makes, if they have no metadata (`echo.wire.client`).
    """

    __slots__ = ("allowed", "answer", "checked", "recognised", "size")

    def __init__(self, fields: Sequence["ReceivedField"], size: int) -> None:
        super().__init__(fields)
        self.size: int = size
        self.allowed: frozenset[bytes] | None = None
        self.checked: FieldList | None = None
        self.recognised: Start | None = None
        self.answer: Response | Trailers | None = None


class Started(Sequence["ReceivedField"]):
    """A header list that starts with one that has come before. Its fields are put together for those who ask.

    Attributes:
        start: The list that it starts with.
        names: The names of the other fields,
        values: and their values.
    """

    __slots__ = ("_never", "names", "start", "values")

    def __init__(
        self, start: Recurring, names: tuple[bytes, ...], values: Sequence[bytes], never: Sequence[bool]
    ) -> None:
        self.start: Recurring = start
        self.names: tuple[bytes, ...] = names
        self.values: Sequence[bytes] = values
        self._never = never  # Whether each of them must never be indexed.

    @overload
    def __getitem__(self, index: int) -> "ReceivedField": ...
    @overload
    def __getitem__(self, index: slice) -> Sequence["ReceivedField"]: ...
    def __getitem__(self, index: int | slice) -> "ReceivedField | Sequence[ReceivedField]":
        return [*self][index]

    def __iter__(self) -> Iterator["ReceivedField"]:
        return chain(self.start, zip(self.names, self.values, self._never, strict=True))

    def __len__(self) -> int:
        return len(self.start) + len(self.names)
