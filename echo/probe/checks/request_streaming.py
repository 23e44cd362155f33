"""`request-streaming`: does the server see each message when it is sent."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class RequestStreaming(Check):
    """See the question."""

    name = "request-streaming"
    question = "Does the server see each message when it is sent?"
    causes = ("held-to-end", "held-in-lumps")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
