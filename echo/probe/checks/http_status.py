"""`http-status`: do the gateway's errors arrive as it sent them."""

from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class HttpStatus(Check):
    """See the question."""

    name = "http-status"
    question = "Do the gateway's errors arrive as it sent them?"
    kind = Kind.HTTP
    needs = ()
    patience = 8.0
    causes = ("replaced",)

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
