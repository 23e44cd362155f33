"""`ws-upgrade`: does a WebSocket open."""

from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class WsUpgrade(Check):
    """See the question."""

    name = "ws-upgrade"
    question = "Does a WebSocket open?"
    kind = Kind.WS
    needs = ()
    patience = 8.0
    causes = ("refused", "other")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
