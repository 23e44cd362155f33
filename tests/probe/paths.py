"""Paths for tests of the probe: an echo server, with some hop in front."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from echo.probe.budget import Budget, Pace
from echo.probe.check import Check
from echo.probe.finding import Finding
from echo.probe.path import Path
from echo.probe.survey import Survey
from echo.probe.target import Target
from echo.rpc import Limits, Server
from echo.services import echo_services
from tests.probe.relays import Fault, relaying
from tests.support.serving import LOOPBACK, serving


def no_tls(alpn: Sequence[str]) -> ssl.SSLContext:
    raise AssertionError("no TLS here")


@asynccontextmanager
async def path_through(
    fault: Fault | None = None,
    *,
    pace: Pace = Pace.QUICK,
    idle: float | None = None,
    direct: bool = True,
    scripting: bool = True,
    server: Server | None = None,
    limits: Limits = Limits(),
) -> AsyncIterator[Path]:
    """The path to an echo server behind a hop of ours with this fault.

    Args:
        fault: By default none.
        pace: Of the budget,
        idle: and its idle time.
        direct: Whether there is a way around the hop.
        scripting: Whether the server does as it is asked.
        server: To take the place of one with all echo services.
        limits: That one's.
    """
    server = server or Server(echo_services(scripting=scripting).services, limits=limits)
    async with serving(server) as port, relaying(port, fault) as hop:
        around = [Target(LOOPBACK, port)] if direct else []
        yield Path(Target(LOOPBACK, hop.port), no_tls, Budget.of(pace, idle), direct=around)


async def finding_of(
    check: Check,
    fault: Fault | None = None,
    *,
    pace: Pace = Pace.QUICK,
    idle: float | None = None,
    direct: bool = True,
    scripting: bool = True,
    limits: Limits = Limits(),
) -> Finding:
    """What a check finds out about a path with this fault, by way of the survey."""
    async with path_through(fault, pace=pace, idle=idle, direct=direct, scripting=scripting, limits=limits) as path:
        report = await Survey(path, [check]).run()
    return report.results[0].finding
