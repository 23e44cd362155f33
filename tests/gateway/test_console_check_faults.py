"""The page's checks behind hops that break something say the same as the command line's checks behind these hops.

The pages run side by side, as most of their time is waited; the command line has virtual time.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pytest
import trio

from echo.rpc import Server
from echo.services import echo_services
from tests.probe.cutting import CutOldStreams, CutSilentClients, CutSilentStreams, CutStreamsOldSinceHalfClose
from tests.probe.gateway_paths import path_to_a_gateway
from tests.probe.holding import (
    HoldRequests,
    HoldResponses,
    HoldResponsesUntilHalfClose,
    ReleaseInTurns,
)
from tests.probe.relays import Fields, Item, Line, relaying
from tests.probe.repeating import Repeat
from tests.probe.test_cancel import KeepResets
from tests.probe.test_deadline import cap_deadlines, lose_deadlines
from tests.probe.test_early_end import LoseEarlyEnd
from tests.probe.test_half_close import EndCallAtHalfClose
from tests.probe.test_http_status import ErrorPages, HangUpAtErrors
from tests.probe.test_message_size import RefuseLargeMessages
from tests.probe.test_metadata import DropDots, DropUnderscores
from tests.probe.test_status import HideFailures, Lose, Rewrite
from tests.probe.test_stream_duration import GiveUpWaiting
from tests.probe.test_stream_size import CutStreams
from tests.probe.test_trailers import LoseTrailingMetadata
from tests.probe.test_ws_cancel import ClingToAll
from tests.probe.test_ws_close import CloseNormally, DropCloses, IgnoreCloses
from tests.probe.test_ws_compression import AgreeOnly, Deflate
from tests.probe.test_ws_idle import CutSilent, Forget
from tests.probe.test_ws_messages import CapToClient, CapToServer, SpoilUnicode, Swap
from tests.probe.test_ws_upgrade import DropUpgrade, ErrorPage, HangUp, Swallow
from tests.probe.web_relays import Message, WebFault
from tests.support.browser import needs_browser
from tests.support.gateway import gateway_to
from tests.support.leaks import no_leaks
from tests.support.page_checks import checks_in, page_report
from tests.support.page_faults import (
    Fault,
    Found,
    assert_same,
    before_the_gateway,
    behind_the_gateway,
    same_limit,
    worded,
)
from tests.support.quiet_clock import QuietClock
from tests.support.serving import serving
from tests.support.side_by_side import Look, Seen, looked_at, looks_of

pytestmark = [
    needs_browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

MOST: Final = 100_000
MIB: Final = 2**20


@pytest.fixture(scope="module")
def lines(request: pytest.FixtureRequest) -> dict[Look[Any], Found]:
    """What the command line finds, in virtual time."""

    async def find(look: Fault) -> Found:
        await trio.sleep(1)  # By then the clock has what it needs.
        async with no_leaks():
            return await look.line()

    found: dict[Look[Any], Found] = {}
    for look in looks_of(request):
        if isinstance(look, Fault):
            clock = QuietClock()
            found[look] = trio.run(find, look, clock=clock, instruments=[clock])
    return found


@pytest.fixture(scope="module")
def seen(request: pytest.FixtureRequest, lines: dict[Look[Any], Found]) -> Seen[Any]:
    def fits(look: Look[Any], page: Found) -> bool:
        line = lines.get(look)
        if line is None:
            return True
        assert isinstance(look, Fault)
        same = worded(page["finding"]) == worded(line["finding"]) or not look.worded
        return same and page["outcome"] == line["outcome"] and same_limit(line, page)

    return looked_at(request, fits)


@pytest.fixture
def page(seen: Seen[Found], look: Fault) -> Found:
    """What the page has found."""
    return seen.of(look)


@pytest.fixture
def line(lines: dict[Look[Any], Found], look: Fault) -> Found:
    return lines[look]


@pytest.mark.parametrize(
    ("look", "outcome"),
    [
        (before_the_gateway("ws-upgrade", DropUpgrade), "broken"),
        (before_the_gateway("ws-upgrade", Swallow), "broken"),
        (before_the_gateway("ws-close", DropCloses), "broken"),
        (before_the_gateway("ws-close", IgnoreCloses), "broken"),
        (before_the_gateway("ws-messages", Swap), "broken"),
        (before_the_gateway("ws-messages", SpoilUnicode), "broken"),
        (before_the_gateway("ws-compression", Deflate), "survived"),
        (before_the_gateway("http-status", ErrorPages), "broken"),
        (before_the_gateway("http-status", HangUpAtErrors), "broken"),
    ],
    ids=str,
)
def test_hops_before_the_gateway(line: Found, page: Found, outcome: str) -> None:
    assert_same(line, page, outcome)


@pytest.mark.parametrize(
    ("look", "outcome"),
    [
        (behind_the_gateway("trailers", LoseTrailingMetadata), "broken"),
        (behind_the_gateway("status", Rewrite, "14", "13"), "broken"),
        (behind_the_gateway("status", HideFailures), "broken"),
        (behind_the_gateway("status", Lose, "grpc-message"), "broken"),
        (behind_the_gateway("status", Lose, "grpc-status-details-bin"), "broken"),
        (behind_the_gateway("metadata", DropUnderscores), "broken"),
        (behind_the_gateway("metadata", DropDots), "broken"),
        (behind_the_gateway("message-size", RefuseLargeMessages, MOST, up=False), "limited"),
        (behind_the_gateway("stream-size", CutStreams, 3 * MIB, up=True), "limited"),
        (behind_the_gateway("stream-size", CutStreams, 4096, up=False), "limited"),
        (behind_the_gateway("request-streaming", HoldRequests), "broken"),
        (behind_the_gateway("request-streaming", ReleaseInTurns, 0.5, requests=True), "broken"),
        (behind_the_gateway("response-streaming", HoldResponses), "broken"),
        (behind_the_gateway("response-streaming", HoldResponses, until=40_000), "broken"),
        (behind_the_gateway("bidirectional", HoldResponsesUntilHalfClose), "broken"),
        (behind_the_gateway("half-close", EndCallAtHalfClose), "broken"),
        (behind_the_gateway("early-end", LoseEarlyEnd), "broken"),
        (behind_the_gateway("cancel", KeepResets), "broken"),
        (behind_the_gateway("deadline", lose_deadlines), "broken"),
        (behind_the_gateway("deadline", cap_deadlines), "limited"),
        (behind_the_gateway("stream-idle", CutSilentStreams, 2.0), "limited"),
        (behind_the_gateway("stream-idle", CutSilentClients, 1.0), "limited"),
        (behind_the_gateway("stream-duration", CutOldStreams, 2.0), "limited"),
        (behind_the_gateway("stream-duration", CutStreamsOldSinceHalfClose, 2.0), "limited"),
        (behind_the_gateway("stream-duration", GiveUpWaiting, 1.0), "inconclusive"),
        (behind_the_gateway("retries", Repeat, ["14"]), "broken"),
        (behind_the_gateway("retries", Repeat, ["14", "13"], resets=[2]), "broken"),
    ],
    ids=str,
)
def test_hops_behind_the_gateway(line: Found, page: Found, outcome: str) -> None:
    assert_same(line, page, outcome)


class DropUnderscoresAtFirst(DropUnderscores):
    """Drops them from the first request that has any."""

    def __init__(self) -> None:
        super().__init__()
        self.done = False

    def change(self, fields: Fields) -> Fields:
        changed = fields if self.done else super().change(fields)
        self.done = self.done or changed != fields
        return changed


@pytest.mark.parametrize("look", [behind_the_gateway("metadata", DropUnderscoresAtFirst)], ids=str)
def test_what_came_out_badly_in_company_is_looked_at_once_more(line: Found, page: Found) -> None:
    # A browser joins repeated values, so the page says of metadata that survives what only it can say.
    assert page["outcome"] == line["outcome"] == "survived"
    assert page["details"]["at_first"] == line["details"]["at_first"]
    for found in (line, page):
        assert found["finding"].endswith(", but only on the second try.")


class LoseTrailingMetadataAtFirst(LoseTrailingMetadata):
    """Loses that of the first response."""

    def __init__(self) -> None:
        self.done = False

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        [found] = [item] if self.done else await super().to_client(line, item)
        self.done = self.done or found != item
        return [found]


async def look_at_two() -> dict[str, Found]:
    server = Server(echo_services().services)
    async with (
        serving(server) as port,
        relaying(port, LoseTrailingMetadataAtFirst()) as hop,
        gateway_to(hop.port, server) as gateway,
    ):
        return checks_in(await page_report(gateway.port, ["trailers", "metadata"]))


@pytest.mark.parametrize("look", [Look("trailers-and-metadata", look_at_two)], ids=str)
def test_checks_try_again_before_others_are_skipped(seen: Seen[dict[str, Found]], look: Look[dict[str, Found]]) -> None:
    found = seen.of(look)
    assert found["trailers"]["finding"].endswith(", but only on the second try.")
    assert found["metadata"]["outcome"] == "survived"


class DropQueries(WebFault):
    """Passes on requests without their query, as CDNs do by default."""

    async def request(self, message: Message) -> Message:
        return replace(message, first=re.sub(r"\?\S*", "", message.first))


def without_queries(name: str) -> Look[None]:
    async def look() -> None:
        async with path_to_a_gateway(DropQueries()) as path:
            assert path.gateway is not None
            await asks_about_scripting(path.gateway.port, name)

    return Look(f"{name}-no-queries", look)


def without_scripting(name: str) -> Look[None]:
    async def look() -> None:
        server = Server(echo_services(scripting=False).services)
        async with serving(server) as port, gateway_to(port, server) as gateway:
            await asks_about_scripting(gateway.port, name)

    return Look(f"{name}-no-scripting", look)


async def asks_about_scripting(port: int, name: str) -> None:
    """The check's outcome is inconclusive, and its finding names the setting."""
    found = checks_in(await page_report(port, [name], idle=6.0))[name]
    assert found["outcome"] == "inconclusive", found
    assert "is ECHO_SCRIPTING off, or does the path drop " in found["finding"], found


@pytest.mark.parametrize(
    "look",
    [
        *map(without_queries, ("stream-size", "stream-duration", "early-end", "ws-close", "http-status")),
        *map(without_scripting, ("message-size", "stream-size", "early-end", "cancel", "deadline")),
    ],
    ids=str,
)
def test_what_the_server_was_not_asked_for_is_not_held_against_the_path(seen: Seen[None], look: Look[None]) -> None:
    seen.of(look)


@pytest.mark.parametrize(
    "look", [before_the_gateway("ws-messages", cap, worded=False) for cap in (CapToServer, CapToClient)], ids=str
)
def test_a_cap_on_messages_is_reported_with_its_number(line: Found, page: Found) -> None:
    # How the hop's end is seen depends on what was still on its way to the hop.
    found, said = (worded(one["finding"].partition(";")[0]) for one in (page, line))
    assert found == said
    assert page["outcome"] == line["outcome"] == "limited"
    assert page["advice"] == line["advice"]
    assert 0.97 * MOST <= page["limit"] <= MOST


# What a browser sees less of


@pytest.mark.parametrize(
    "look", [before_the_gateway("ws-upgrade", it, worded=False) for it in (ErrorPage, HangUp)], ids=str
)
def test_a_handshake_that_is_answered_wrongly_is_told_by_what_the_gateway_saw(line: Found, page: Found) -> None:
    assert page["outcome"] == line["outcome"] == "broken"
    assert page["finding"].startswith("Plain requests are answered, but a WebSocket is not opened: the gateway has")


@pytest.mark.parametrize("look", [before_the_gateway("ws-close", CloseNormally, worded=False)], ids=str)
def test_codes_that_are_rewritten_are_told_of_those_that_a_page_may_close_with(line: Found, page: Found) -> None:
    assert page["outcome"] == line["outcome"] == "broken"
    assert page["advice"] == line["advice"]
    assert re.fullmatch(
        r"A WebSocket that we closed with code 3000 .* \(3 of 5 closes were changed\)\.", page["finding"]
    )


@pytest.mark.parametrize("look", [before_the_gateway("ws-cancel", ClingToAll, worded=False)], ids=str)
def test_a_hop_that_does_not_pass_on_that_we_have_left_is_reported(line: Found, page: Found) -> None:
    assert page["outcome"] == line["outcome"] == "broken"
    assert page["finding"] == line["finding"].replace(" or by closing the connection", "")


@pytest.mark.parametrize(
    ("look", "how"),
    [
        (before_the_gateway("ws-idle", CutSilent, 1.5, worded=False), "closed without a close frame"),
        (before_the_gateway("ws-idle", Forget, 1.5, worded=False), "without notice"),
    ],
    ids=str,
)
def test_a_silent_socket_that_is_cut_is_reported_with_what_keeps_one_alive(line: Found, page: Found, how: str) -> None:
    assert page["outcome"] == line["outcome"] == "limited"
    assert page["advice"] == line["advice"]
    assert page["limit"] == pytest.approx(line["limit"], rel=0.3, abs=0.5)
    assert how in page["finding"]
    assert page["finding"].endswith("; with a message every 0.375 s it survives.")


@pytest.mark.parametrize("look", [before_the_gateway("ws-compression", AgreeOnly, worded=False)], ids=str)
def test_compression_that_spoils_is_left_to_the_command_line(page: Found) -> None:
    assert page["outcome"] == "inconclusive"
    assert page["finding"].endswith("`echo-grpc probe` can tell whether they do without it.")
