"""`metadata`, against hops that drop, merge and change it."""

from collections.abc import Iterable, Sequence

import pytest

from echo.probe.checks.metadata import SENT, Metadata
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Fields, Head, Item, Line
from tests.probe.turning_away import AnswerWithPages
from tests.support.quiet_clock import QuietClock


class ChangeFields(Fault):
    """Changes the header lists of one direction."""

    def __init__(self, *, up: bool = True) -> None:
        self.up = up

    def change(self, fields: Fields) -> Fields:
        raise NotImplementedError

    def changed(self, item: Item) -> Item:
        return Head(item.stream, self.change(item.fields), item.ends) if isinstance(item, Head) else item

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return [self.changed(item) if self.up else item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [item if self.up else self.changed(item)]


class DropUnderscores(ChangeFields):
    def change(self, fields: Fields) -> Fields:
        return [(name, value) for name, value in fields if "_" not in name]


class DropDots(ChangeFields):
    def change(self, fields: Fields) -> Fields:
        return [(name, value) for name, value in fields if "." not in name]


class Merge(ChangeFields):
    """Makes one field of several that have the same name."""

    def change(self, fields: Fields) -> Fields:
        merged: dict[str, str] = {}
        for name, value in fields:
            merged[name] = f"{merged[name]}, {value}" if name in merged else value
        return list(merged.items())


class LowerCase(ChangeFields):
    def change(self, fields: Fields) -> Fields:
        return [(name, value.lower() if name == "x-probe-plain" else value) for name, value in fields]


class SpoilOctets(ChangeFields):
    def change(self, fields: Fields) -> Fields:
        return [(name, value[:-2] if name == "x-probe-octets-bin" else value) for name, value in fields]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    assert (await finding_of(Metadata(), direct=direct)).outcome is Outcome.SURVIVED


THERE, BACK = "on the way: to the server (", " in the headers of the reply and in the trailers of the reply ("


@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (DropUnderscores(), "dropped", ["Metadata is dropped", THERE, "x_probe_underscores"]),
        (DropDots(), "dots", [THERE, "(x.probe.dots)"]),
        (DropUnderscores(up=False), "dropped", [BACK, "x_probe_underscores"]),
        (Merge(), "merged", [THERE, "x-probe-twice)"]),
        (Merge(up=False), "merged", [BACK, "x-probe-twice)"]),
        (LowerCase(), "rewritten", [THERE, "x-probe-plain"]),
        (SpoilOctets(up=False), "rewritten", [BACK, "x-probe-octets-bin"]),
    ],
)
async def test_changed_metadata_is_reported(fault: Fault, cause: str, words: Sequence[str]) -> None:
    finding = await finding_of(Metadata(), fault)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, cause)
    assert all(word in finding.sentence for word in words), finding.sentence


class KeepSome(Fault):
    """Keeps calls with metadata of every kind to itself, and requests for evidence."""

    def __init__(self) -> None:
        self.kept: set[tuple[int, int]] = set()  # By line and stream.

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head):
            fields = dict(item.fields)
            if SENT.keys() & fields.keys() or "Evidence" in fields.get(":path", ""):
                self.kept.add((id(line), item.stream))
        return [] if (id(line), item.stream) in self.kept else [item]


class RefuseUnderscores(AnswerWithPages):
    """Answers calls whose metadata has an underscore in a name."""

    def turned_away(self, line: Line, head: Head) -> bool:
        return any("_" in name for name, _ in head.fields)


@pytest.mark.parametrize("direct", [True, False])
async def test_calls_refused_for_a_name_are_reported(direct: bool, quiet_clock: QuietClock) -> None:
    finding = await finding_of(Metadata(), RefuseUnderscores(), direct=direct)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "refused")
    assert "(x_probe_underscores): they end with HTTP 503 with text/html before the server" in finding.sentence


@pytest.mark.parametrize(
    ("direct", "known"), [(True, "the server has not seen it"), (False, "what the server saw could not be fetched")]
)
async def test_what_nobody_could_tell_is_not_claimed_of_the_server(
    direct: bool, known: str, quiet_clock: QuietClock
) -> None:
    finding = await finding_of(Metadata(), KeepSome(), direct=direct)
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert known in finding.sentence


async def test_a_server_that_does_not_do_as_asked_is_not_the_path_s_fault() -> None:
    assert (await finding_of(Metadata(), scripting=False)).outcome is Outcome.INCONCLUSIVE
