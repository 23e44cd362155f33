"""`ws-close`: do WebSocket close codes and reasons arrive, both ways."""

from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class WsClose(Check):
    """See the question."""

    name = "ws-close"
    question = "Do WebSocket close codes and reasons arrive, both ways?"
    kind = Kind.WS
    needs = ("ws-upgrade",)
    causes = ("rewritten",)

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
