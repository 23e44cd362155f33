"""`ws-messages`: do WebSocket messages pass unchanged, and how large may they be."""

from echo.probe.check import Check, Company, Kind
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class WsMessages(Check):
    """See the question."""

    name = "ws-messages"
    question = "Do WebSocket messages pass unchanged, and how large may they be?"
    kind = Kind.WS
    company = Company.ALONE
    needs = ("ws-upgrade",)
    patience = 15.0
    causes = ("size", "altered")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
