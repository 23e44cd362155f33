"""`balancing`, against hops with several servers behind them."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from echo.probe.checks import balancing
from echo.probe.checks.balancing import Balancing
from echo.probe.checks.retries import Retries
from echo.probe.finding import Finding, Outcome
from echo.probe.survey import Survey
from echo.probe.target import Target
from tests.probe.paths import finding_of, path_through
from tests.probe.relays import Fault, Item, Line, Side
from tests.probe.sharing import sharing_an_address
from tests.support.http2_frames import PREFACE, SETTINGS, Frame
from tests.support.process import running
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK


@asynccontextmanager
async def another_server() -> AsyncIterator[int]:
    """A server in a process of its own, and so another instance; gives its port."""
    async with running("serve", "--grpc-server-port", "0", "--grpc-server-bind", LOOPBACK) as echo:
        yield await echo.grpc_port()


class PerCall(Fault):
    """Sends every second call to another server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.others: dict[int, Side] = {}

    async def other(self, line: Line) -> Side:
        if line.number not in self.others:
            stream = await trio.open_tcp_stream(LOOPBACK, self.port)
            await stream.send_all(PREFACE)
            self.others[line.number] = side = Side(stream)
            side.send(Frame(SETTINGS, 0, 0, b""))
            line.nursery.start_soon(side.write)
            line.nursery.start_soon(self.bring, line, side)
        return self.others[line.number]

    async def bring(self, line: Line, side: Side) -> None:
        async with side.stream:
            async for item in side.items():
                if item.stream:
                    line.client.send(item)

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if item.stream % 4 != 3:
            return [item]
        (await self.other(line)).send(item)
        return []


class PerConnection(PerCall):
    """Sends all calls of every second connection to another server."""

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if item.stream and line.number % 2:
            (await self.other(line)).send(item)
            return []
        return [item]


async def finding_with(fault: Fault, port: int, *, direct: bool = True) -> Finding:
    async with path_through(fault, direct=direct) as path:
        around: Sequence[Target] = [*path.direct, Target(LOOPBACK, port)] if direct else []
        (result,) = (await Survey(replace(path, direct=around), [Balancing()]).run()).results
    return result.finding


async def test_one_server_is_all_there_is(quiet_clock: QuietClock) -> None:
    for direct in (True, False):
        finding = await finding_of(Balancing(), direct=direct)
        assert (finding.outcome, finding.limit) == (Outcome.SURVIVED, 1)


@pytest.mark.slow  # Five surveys of two servers.
async def test_who_answers_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    # One of the servers is a process of its own, so this clock is real, and the machine may be busy.
    monkeypatch.setattr(balancing, "PATIENCE", 18.0)
    monkeypatch.setattr(Balancing, "patience", 18.0)
    async with another_server() as port:
        for direct in (True, False):
            finding = await finding_with(PerCall(port), port, direct=direct)
            assert finding.outcome is Outcome.SURVIVED
            assert finding.sentence == "Calls on one connection go to 2 of 2 known servers."
            finding = await finding_with(PerConnection(port), port, direct=direct)
            assert (finding.outcome, finding.cause, finding.limit) == (Outcome.LIMITED, "one-instance", 1)
            assert "other connections reach 2 of 2 known" in finding.sentence
        finding = await finding_with(Fault(), port)
        assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "one-instance")
        assert "though 2 servers are known" in finding.sentence


async def test_without_a_script_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    assert (await finding_of(Balancing(), scripting=False)).outcome is Outcome.INCONCLUSIVE


@pytest.mark.slow
async def test_a_retry_that_another_server_may_have_seen_is_not_denied() -> None:
    async with another_server() as port, path_through(PerConnection(port)) as path:
        (around,) = path.direct
        assert around.port is not None
        async with sharing_an_address(around.port, port) as both:
            report = await Survey(replace(path, direct=[both]), [Retries()]).run()
    finding = report.results[0].finding
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.sentence == (
        "Several servers are behind the path, and not all of them can be asked; --direct for each would help."
    )
