"""All checks of the gateway's paths against each other's hops: each fault is reported by its own check and no other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import pytest
import trio

from echo.probe.finding import Outcome
from tests.probe import test_http_status as http_status
from tests.probe import test_ws_cancel as ws_cancel
from tests.probe import test_ws_close as ws_close
from tests.probe import test_ws_compression as ws_compression
from tests.probe import test_ws_http2 as ws_http2
from tests.probe import test_ws_idle as ws_idle
from tests.probe import test_ws_messages as ws_messages
from tests.probe import test_ws_upgrade as ws_upgrade
from tests.probe.gateway_paths import WEB_CHECKS, findings_of
from tests.probe.web_relays import Bare, Message, WebFault, WebLine
from tests.support.quiet_clock import QuietClock

pytestmark = pytest.mark.slow

NOTABLE: Final = {Outcome.BROKEN, Outcome.LIMITED}
FAULTS: Final[Mapping[str, Sequence[Callable[[], WebFault]]]] = {
    "ws-upgrade": [ws_upgrade.DropUpgrade, ws_upgrade.ErrorPage, ws_upgrade.HangUp, ws_upgrade.Swallow],
    "ws-http2": [ws_http2.NotOffered, ws_http2.Refused, ws_http2.Http1Only],
    "ws-messages": [
        *(ws_messages.CapToServer, ws_messages.CapToClient, ws_messages.SwallowLarge, ws_messages.Swap),
        *(ws_messages.Join, ws_messages.Twice, ws_messages.SpoilUnicode, ws_messages.TextOnly, ws_messages.LoseEmpty),
        ws_messages.FramesAsMessages,
    ],
    "ws-close": [
        ws_close.DropCloses,
        ws_close.CloseNormally,
        ws_close.StripReasons,
        ws_close.IgnoreCloses,
        ws_close.AnswerCloses,
    ],
    "ws-idle": [
        *(lambda: ws_idle.CutSilent(6.0), lambda: ws_idle.CutSilent(6.0, [1]), lambda: ws_idle.Forget(6.0)),
        ws_idle.CutOld,
    ],
    "ws-cancel": [ws_cancel.Cling, ws_cancel.ClingToAll],
    "ws-compression": [ws_compression.AgreeOnly, ws_compression.CutShort, ws_compression.Refuse],
    "http-status": [http_status.ErrorPages, http_status.BadGateway, http_status.HangUpAtErrors],
}
CASES: Final = [
    pytest.param(name, make, id=f"{name}-{number}")
    for name, makers in FAULTS.items()
    for number, make in enumerate(makers)
]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives_them_all(direct: bool, quiet_clock: QuietClock) -> None:
    found = await findings_of(WEB_CHECKS, direct=direct)
    assert {name: finding.outcome for name, finding in found.items()} == dict.fromkeys(found, Outcome.SURVIVED)
    assert len(found) == 8


class Late(WebFault):
    """Breaks nothing, but takes its time."""

    async def request(self, message: Message) -> Message:
        await trio.sleep(0.4)
        return message

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        await trio.sleep(0.04)
        return [frame]

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        await trio.sleep(0.04)
        return [frame]


async def test_a_path_that_is_late_survives_them_all(quiet_clock: QuietClock) -> None:
    found = await findings_of(WEB_CHECKS, Late())
    assert {name: finding.outcome for name, finding in found.items()} == dict.fromkeys(found, Outcome.SURVIVED), found


@pytest.mark.parametrize(("name", "make"), CASES)
async def test_a_fault_is_named_by_its_check_alone(
    name: str, make: Callable[[], WebFault], quiet_clock: QuietClock
) -> None:
    found = await findings_of(WEB_CHECKS, make())
    assert {check for check, finding in found.items() if finding.outcome in NOTABLE} == {name}, found
