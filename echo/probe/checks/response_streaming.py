"""`response-streaming`: do we see each response when it is sent."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class ResponseStreaming(Check):
    """See the question."""

    name = "response-streaming"
    question = "Do we see each response when it is sent?"
    causes = ("held-to-end", "held-in-lumps")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
