"""`ws-idle`: how long does a silent WebSocket live, with pings and without."""

from echo.probe.check import Check, Company, Kind
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class WsIdle(Check):
    """See the question."""

    name = "ws-idle"
    question = "How long does a silent WebSocket live, with pings and without?"
    kind = Kind.WS
    company = Company.WAITING
    needs = ("ws-upgrade",)
    patience = 15.0
    causes = ("cut",)

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
