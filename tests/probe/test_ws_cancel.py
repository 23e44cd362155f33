"""`ws-cancel`, against hops that do not pass on that the client has left."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
import trio

from echo.probe.checks.ws_cancel import WsCancel
from echo.probe.finding import Outcome
from echo.probe.survey import Survey
from echo.probe.target import Target
from echo.rpc import Server
from echo.services import echo_services
from tests.probe.gateway_paths import finding_of, path_to_a_gateway
from tests.probe.web_relays import Bare, WebFault, WebLine
from tests.support.frames import CLOSE
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK, serving


class Cling(WebFault):
    """Keeps its connection to the gateway when ours is closed."""

    async def left(self, line: WebLine) -> None:
        await trio.sleep_forever()


class ClingToAll(Cling):
    """Answers close frames by itself besides."""

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if frame.opcode != CLOSE:
            return [frame]
        await line.to_client(frame)
        return []


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    assert (await finding_of(WsCancel(), direct=direct)).outcome is Outcome.SURVIVED


async def test_a_hop_that_holds_its_own_connection_open_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsCancel(), Cling())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "not-forwarded")
    assert finding.sentence.endswith("5 s after we had left its WebSocket by closing the connection.")


async def test_a_hop_that_answers_close_frames_by_itself_is_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsCancel(), ClingToAll())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "not-forwarded")
    assert "with a close frame or by closing the connection" in finding.sentence


async def test_without_evidence_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    assert (await finding_of(WsCancel(), scripting=False)).outcome is Outcome.INCONCLUSIVE


async def test_a_gateway_that_calls_another_server_tells_of_it_itself() -> None:
    async with serving(Server(echo_services().services)) as another, path_to_a_gateway(direct=False) as path:
        elsewhere = replace(path, target=Target(LOOPBACK, another))
        report = await Survey(elsewhere, [WsCancel()]).run()
    assert report.results[0].finding.outcome is Outcome.SURVIVED
