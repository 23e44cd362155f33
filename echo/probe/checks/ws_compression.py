"""`ws-compression`: do compressed WebSocket messages arrive intact."""

from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class WsCompression(Check):
    """See the question."""

    name = "ws-compression"
    question = "Do compressed WebSocket messages arrive intact?"
    kind = Kind.WS
    needs = ("ws-upgrade",)
    patience = 8.0
    causes = ("corrupt",)

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
