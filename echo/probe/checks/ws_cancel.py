"""`ws-cancel`: does the server hear of it when we leave a WebSocket."""

from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class WsCancel(Check):
    """See the question."""

    name = "ws-cancel"
    question = "Does the server hear of it when we leave a WebSocket?"
    kind = Kind.WS
    needs = ("ws-upgrade",)
    causes = ("not-forwarded",)

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
