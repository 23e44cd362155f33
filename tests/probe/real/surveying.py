"""The table of real proxies, and the survey of one of its rows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import Final

from echo.probe.budget import Budget, Pace
from echo.probe.path import Path
from echo.probe.report import Report
from echo.probe.survey import Survey
from echo.probe.table import select
from echo.probe.target import Target
from tests.probe.paths import no_tls
from tests.probe.real import envoy, haproxy, nginx
from tests.probe.real.row import Ports, Row
from tests.support.process import running
from tests.support.proxies import Proxy, running_proxy
from tests.support.serving import LOOPBACK

ROWS: Final[Sequence[Row]] = (*nginx.ROWS, *haproxy.ROWS, *envoy.ROWS)
RIGHT: Final = {row.product: row for row in ROWS if row.right}


@dataclass(frozen=True)
class Ours:
    """What the proxies stand before: ports of a server and of a gateway, in a process of their own."""

    server: int
    gateway: int


@asynccontextmanager
async def ours() -> AsyncIterator[Ours]:
    """A server and a gateway while the block runs."""
    async with running("up", "--grpc-server-port", "0", "--http-port", "0") as echo:
        yield Ours(await echo.grpc_port(), await echo.http_port())


async def surveyed(
    row: Row, behind: Ours, folder: Folder, *, only: Sequence[str] = (), idle: float | None = None
) -> Report:
    """What ``probe --quick`` reports of a row.

    Args:
        row: Which one.
        behind: What the proxy stands before.
        folder: Where the proxy's files go.
        only: Which checks; all by default.
        idle: Seconds that silence is to last at most.
    """

    def configure(ports: Sequence[int], into: Folder) -> list[str]:
        return row.configure(Ports(ports[0], ports[1], behind.server, behind.gateway), into)

    async with running_proxy(Proxy(configure, folder, 2)) as proxy:
        path = Path(
            Target(LOOPBACK, proxy.ports[0]),
            no_tls,
            Budget.of(Pace.QUICK, idle),
            gateway=Target(LOOPBACK, proxy.ports[1]),
            direct=[Target(LOOPBACK, behind.server)],
        )
        return await Survey(path, select(only)).run()
