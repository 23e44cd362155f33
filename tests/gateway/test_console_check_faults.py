"""The page's checks behind hops that break something, beside the command line's behind the same: they say the same.

The hops are those that the command line's own checks are tested against: before the gateway, or between it and the
server.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest

from echo.probe.budget import Budget, Pace
from echo.probe.path import Path
from echo.probe.target import Target
from echo.rpc import Server
from echo.services import echo_services
from tests.probe.cutting import CutOldStreams, CutSilentClients, CutSilentStreams, CutStreamsOldSinceHalfClose
from tests.probe.gateway_paths import path_to_a_gateway
from tests.probe.holding import HoldRequests, HoldResponses, HoldResponsesUntilHalfClose, ReleaseInTurns
from tests.probe.paths import no_tls
from tests.probe.relays import Fault, Fields, Item, Line, relaying
from tests.probe.test_cancel import KeepResets
from tests.probe.test_deadline import cap_deadlines, lose_deadlines
from tests.probe.test_early_end import LoseEarlyEnd
from tests.probe.test_half_close import EndCallAtHalfClose
from tests.probe.test_http_status import ErrorPages, HangUpAtErrors
from tests.probe.test_message_size import RefuseLargeMessages
from tests.probe.test_metadata import DropDots, DropUnderscores
from tests.probe.test_retries import Repeat
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
from tests.probe.web_relays import WebFault
from tests.support.browser import needs_browser
from tests.support.gateway import gateway_to
from tests.support.page_checks import checks_in, line_report, page_report
from tests.support.serving import LOOPBACK, serving

pytestmark = [needs_browser, pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

IDLE: Final = 3.0  # Seconds of silence, for both.
MOST: Final = 100_000
MIB: Final = 2**20

Found = dict[str, Any]


async def before_the_gateway(name: str, fault: WebFault) -> tuple[Found, Found]:
    """What the command line and the page find of a check behind a hop before the gateway."""
    async with path_to_a_gateway(fault, idle=IDLE) as path:
        assert path.gateway is not None
        line = await line_report(path, [name])
        page = await page_report(path.gateway.port, [name], idle=IDLE)
    return checks_in(line)[name], checks_in(page)[name]


async def behind_the_gateway(name: str, fault: Callable[[], Fault]) -> tuple[Found, Found]:
    """The same with the hop between the gateway and the server, where the command line has no gateway."""
    server = Server(echo_services().services)
    async with serving(server) as port:
        async with relaying(port, fault()) as hop:
            direct = [Target(LOOPBACK, port)]
            path = Path(Target(LOOPBACK, hop.port), no_tls, Budget.of(Pace.QUICK, IDLE), direct=direct)
            line = await line_report(path, [name])
        async with relaying(port, fault()) as hop, gateway_to(hop.port, server) as gateway:
            page = await page_report(gateway.port, [name], idle=IDLE)
    return checks_in(line)[name], checks_in(page)[name]


def assert_same(line: Found, page: Found, outcome: str) -> None:
    """They agree, but for what was measured."""
    assert page["outcome"] == line["outcome"] == outcome
    assert worded(page["finding"]) == worded(line["finding"])
    assert (page["advice"], page["unit"]) == (line["advice"], line["unit"])
    assert (page["limit"] is None) is (line["limit"] is None)
    if page["limit"] is not None:
        assert page["limit"] == pytest.approx(line["limit"], rel=0.3, abs=0.5)


def worded(sentence: str) -> str:
    return re.sub(r"\d+(?:\.\d+)?", "#", sentence)


@pytest.mark.parametrize(
    ("name", "fault", "outcome"),
    [
        ("ws-upgrade", DropUpgrade, "broken"),
        ("ws-upgrade", Swallow, "broken"),
        ("ws-close", DropCloses, "broken"),
        ("ws-close", IgnoreCloses, "broken"),
        ("ws-messages", Swap, "broken"),
        ("ws-messages", SpoilUnicode, "broken"),
        ("ws-compression", Deflate, "survived"),
        ("http-status", ErrorPages, "broken"),
        ("http-status", HangUpAtErrors, "broken"),
    ],
)
async def test_hops_before_the_gateway(name: str, fault: Callable[[], WebFault], outcome: str) -> None:
    assert_same(*await before_the_gateway(name, fault()), outcome)


@pytest.mark.parametrize(
    ("name", "fault", "outcome"),
    [
        ("trailers", LoseTrailingMetadata, "broken"),
        ("status", lambda: Rewrite("14", "13"), "broken"),
        ("status", HideFailures, "broken"),
        ("status", lambda: Lose("grpc-message"), "broken"),
        ("status", lambda: Lose("grpc-status-details-bin"), "broken"),
        ("metadata", DropUnderscores, "broken"),
        ("metadata", DropDots, "broken"),
        ("message-size", lambda: RefuseLargeMessages(MOST, up=False), "limited"),
        ("stream-size", lambda: CutStreams(3 * MIB, up=True), "limited"),
        ("stream-size", lambda: CutStreams(4096, up=False), "limited"),
        ("request-streaming", HoldRequests, "broken"),
        ("request-streaming", lambda: ReleaseInTurns(0.5, requests=True), "broken"),
        ("response-streaming", HoldResponses, "broken"),
        ("response-streaming", lambda: HoldResponses(until=40_000), "broken"),
        ("bidirectional", HoldResponsesUntilHalfClose, "broken"),
        ("half-close", EndCallAtHalfClose, "broken"),
        ("early-end", LoseEarlyEnd, "broken"),
        ("cancel", KeepResets, "broken"),
        ("deadline", lose_deadlines, "broken"),
        ("deadline", cap_deadlines, "limited"),
        ("stream-idle", lambda: CutSilentStreams(2.0), "limited"),
        ("stream-idle", lambda: CutSilentClients(1.0), "limited"),
        ("stream-duration", lambda: CutOldStreams(2.0), "limited"),
        ("stream-duration", lambda: CutStreamsOldSinceHalfClose(2.0), "limited"),
        ("stream-duration", lambda: GiveUpWaiting(1.0), "inconclusive"),
        ("retries", lambda: Repeat(["14"]), "broken"),
        ("retries", lambda: Repeat(["14", "13"], resets=[2]), "broken"),
    ],
)
async def test_hops_behind_the_gateway(name: str, fault: Callable[[], Fault], outcome: str) -> None:
    assert_same(*await behind_the_gateway(name, fault), outcome)


class DropUnderscoresAtFirst(DropUnderscores):
    """Drops them from the first request that has any."""

    def __init__(self) -> None:
        super().__init__()
        self.done = False

    def change(self, fields: Fields) -> Fields:
        changed = fields if self.done else super().change(fields)
        self.done = self.done or changed != fields
        return changed


async def test_what_came_out_badly_in_company_is_looked_at_once_more() -> None:
    line, page = await behind_the_gateway("metadata", DropUnderscoresAtFirst)
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


async def test_a_second_look_is_had_before_others_are_skipped() -> None:
    server = Server(echo_services().services)
    async with (
        serving(server) as port,
        relaying(port, LoseTrailingMetadataAtFirst()) as hop,
        gateway_to(hop.port, server) as gateway,
    ):
        found = checks_in(await page_report(gateway.port, ["trailers", "metadata"]))
    assert found["trailers"]["finding"].endswith(", but only on the second try.")
    assert found["metadata"]["outcome"] == "survived"


@pytest.mark.parametrize("fault", [CapToServer, CapToClient])
async def test_a_cap_on_messages_is_told_with_its_number(fault: Callable[[], WebFault]) -> None:
    line, page = await before_the_gateway("ws-messages", fault())
    # How the hop's end is seen depends on what was still on its way to the hop.
    found, said = (worded(one["finding"].partition(";")[0]) for one in (page, line))
    assert found == said
    assert page["outcome"] == line["outcome"] == "limited"
    assert page["advice"] == line["advice"]
    assert 0.97 * MOST <= page["limit"] <= MOST


# What a browser sees less of


@pytest.mark.parametrize("fault", [ErrorPage, HangUp])
async def test_a_handshake_that_is_answered_wrongly_is_told_by_what_the_gateway_saw(
    fault: Callable[[], WebFault],
) -> None:
    line, page = await before_the_gateway("ws-upgrade", fault())
    assert page["outcome"] == line["outcome"] == "broken"
    assert page["finding"].startswith("Plain requests are answered, but a WebSocket is not opened: the gateway has")


async def test_codes_that_are_rewritten_are_told_of_those_that_a_page_may_close_with() -> None:
    line, page = await before_the_gateway("ws-close", CloseNormally())
    assert page["outcome"] == line["outcome"] == "broken"
    assert page["advice"] == line["advice"]
    assert re.fullmatch(
        r"A WebSocket that we closed with code 3000 .* \(3 of 5 closes were changed\)\.", page["finding"]
    )


async def test_a_hop_that_keeps_it_to_itself_that_we_have_left_is_told() -> None:
    line, page = await before_the_gateway("ws-cancel", ClingToAll())
    assert page["outcome"] == line["outcome"] == "broken"
    assert page["finding"] == line["finding"].replace(" or by closing the connection", "")


@pytest.mark.parametrize(("fault", "how"), [(CutSilent, "closed without a close frame"), (Forget, "nobody said why")])
async def test_a_silent_socket_that_is_cut_is_told_with_what_keeps_one_alive(
    fault: Callable[[float], WebFault], how: str
) -> None:
    line, page = await before_the_gateway("ws-idle", fault(1.5))
    assert page["outcome"] == line["outcome"] == "limited"
    assert page["advice"] == line["advice"]
    assert page["limit"] == pytest.approx(line["limit"], abs=0.2)
    assert how in page["finding"]
    assert page["finding"].endswith("; with a message every 0.375 s it lives.")


async def test_compression_that_spoils_is_left_to_the_command_line() -> None:
    _, page = await before_the_gateway("ws-compression", AgreeOnly())
    assert page["outcome"] == "inconclusive"
    assert page["finding"].endswith("whether they do without it, `echo-grpc probe` can tell.")
