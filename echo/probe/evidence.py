"""What the server saw of a call, as it says itself: the records under a call-id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from echo.probe.finding import JsonValue


@dataclass(frozen=True)
class Record:
    """One attempt of a call, from the server's side. Points in time are nanoseconds since the epoch, None for never.

    Attributes:
        fields: All that the server tells, by the names of the contract.
    """

    fields: Mapping[str, JsonValue]

    def text(self, name: str) -> str:
        """A field that is a text; empty if it is not there."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> float | None:
        """A field that is a number, also where JSON has it as a text (64 bits); None if it is not there."""
        value = self.fields.get(name)
        if isinstance(value, str) and value.lstrip("-").isdigit():
            return int(value)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def numbers(self, name: str) -> list[float]:
        """A field that is a list of numbers."""
        value = self.fields.get(name)
        found = [Record({"": item}).number("") for item in value] if isinstance(value, list) else []
        return [number for number in found if number is not None]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The request's headers as they arrived, order and repeats kept."""
        value = self.fields.get("request_headers")
        items = value if isinstance(value, list) else []
        return [(str(item.get("name", "")), str(item.get("value", ""))) for item in items if isinstance(item, dict)]

    @property
    def instance(self) -> str:
        """Which server process answered."""
        return self.text("instance")

    @property
    def outcome(self) -> str:
        """``completed``, ``cancelled``, ``reset``, ...; empty while the call runs."""
        return self.text("outcome")

    @property
    def ended(self) -> bool:
        """Whether the call is over for the server."""
        return bool(self.number("ended")) or bool(self.outcome)


class Witness(Protocol):
    """Whom to ask what the server saw."""

    async def records(self, call_id: str) -> Sequence[Record] | None:
        """The attempts recorded under a call-id, of all servers that can be asked; None if none can be asked."""


class NoWitness:
    """There is nobody to ask."""

    async def records(self, call_id: str) -> Sequence[Record] | None:  # noqa: ARG002, D102 - as in Witness
        return None
