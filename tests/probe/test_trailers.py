"""`trailers`, against hops that lose the end of a call, or what is in it."""

from collections.abc import Iterable

import pytest

from echo.probe.check import Check
from echo.probe.checks.half_close import HalfClose
from echo.probe.checks.stream_duration import StreamDuration
from echo.probe.checks.stream_idle import StreamIdle
from echo.probe.checks.trailers import Trailers
from echo.probe.finding import Outcome
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.probe.turning_away import AnswerWithPages, KeepCalls
from tests.support.http2_frames import CANCEL
from tests.support.quiet_clock import QuietClock


class LoseTrailers(Fault):
    """Ends the response with its last message."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and item.ends and item.get(":status") is None:
            line.data(line.client, item.stream, b"", end=True)
            return []
        return [item]


class LoseTrailingMetadata(Fault):
    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and item.get(":status") is None:
            return [Head(item.stream, [pair for pair in item.fields if pair[0].startswith("grpc-")], item.ends)]
        return [item]


class ResetInstead(Fault):
    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and item.get(":status") is None:
            line.reset(item.stream, CANCEL, line.client)
            return []
        return [item]


async def test_a_clean_path_survives() -> None:
    assert (await finding_of(Trailers())).outcome is Outcome.SURVIVED


async def test_lost_trailers_are_reported() -> None:
    finding = await finding_of(Trailers(), LoseTrailers())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "status-lost")
    assert "cut off before the status" in finding.sentence


@pytest.mark.parametrize("check", [HalfClose(), StreamIdle(), StreamDuration()], ids=lambda check: check.name)
async def test_no_other_check_takes_lost_trailers_for_something_else(quiet_clock: QuietClock, check: Check) -> None:
    assert (await finding_of(check, LoseTrailers(), idle=6.0)).outcome is Outcome.SURVIVED


async def test_lost_trailing_metadata_is_reported() -> None:
    finding = await finding_of(Trailers(), LoseTrailingMetadata())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "metadata-lost")


async def test_a_reset_in_place_of_the_trailers_is_reported() -> None:
    finding = await finding_of(Trailers(), ResetInstead())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "status-lost")
    assert "was reset" in finding.sentence


async def test_a_server_that_does_not_do_as_asked_is_not_the_path_s_fault() -> None:
    assert (await finding_of(Trailers(), scripting=False)).outcome is Outcome.INCONCLUSIVE


async def test_where_no_reply_comes_at_all_its_end_is_not_called_lost() -> None:
    finding = await finding_of(Trailers(), KeepCalls())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence == "The call ended with no answer, so its end could not be checked."


async def test_a_hop_s_own_answer_is_not_a_reply_without_its_end() -> None:
    finding = await finding_of(Trailers(), AnswerWithPages())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "HTTP 503 with text/html" in finding.sentence
