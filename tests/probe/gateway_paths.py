"""Paths through a gateway for tests of the probe, with a hop of `tests.probe.web_relays` in front."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from echo.probe.budget import Budget, Pace
from echo.probe.check import Check
from echo.probe.finding import Finding
from echo.probe.path import Path
from echo.probe.survey import Survey
from echo.probe.table import CHECKS
from echo.probe.target import Target
from echo.rpc import Server
from echo.services import echo_services
from tests.probe.paths import no_tls
from tests.probe.web_relays import WebFault, web_relaying
from tests.support.gateway import gateway_to
from tests.support.serving import LOOPBACK, serving

WEB_CHECKS: Final = tuple(check for check in CHECKS if check.name.startswith(("ws-", "http-")))


@asynccontextmanager
async def path_to_a_gateway(
    fault: WebFault | None = None,
    *,
    pace: Pace = Pace.QUICK,
    idle: float | None = None,
    direct: bool = True,
    scripting: bool = True,
) -> AsyncIterator[Path]:
    """The path to a gateway behind a hop of ours with this fault; arguments as in `tests.probe.paths.path_through`."""
    server = Server(echo_services(scripting=scripting).services)
    async with (
        serving(server) as port,
        gateway_to(port, server) as gateway,
        web_relaying(gateway.port, fault) as hop,
    ):
        around = [Target(LOOPBACK, port)] if direct else []
        budget = Budget.of(pace, idle)
        yield Path(Target(LOOPBACK, port), no_tls, budget, gateway=Target(LOOPBACK, hop), direct=around)


async def findings_of(
    checks: Sequence[Check],
    fault: WebFault | None = None,
    *,
    pace: Pace = Pace.QUICK,
    idle: float | None = None,
    direct: bool = True,
    scripting: bool = True,
) -> dict[str, Finding]:
    """What checks find out about a path with this fault, by name."""
    async with path_to_a_gateway(fault, pace=pace, idle=idle, direct=direct, scripting=scripting) as path:
        report = await Survey(path, checks).run()
    return {result.name: result.finding for result in report.results}


async def finding_of(
    check: Check,
    fault: WebFault | None = None,
    *,
    pace: Pace = Pace.QUICK,
    idle: float | None = None,
    direct: bool = True,
    scripting: bool = True,
) -> Finding:
    """What one of them finds out."""
    found = await findings_of([check], fault, pace=pace, idle=idle, direct=direct, scripting=scripting)
    return found[check.name]
