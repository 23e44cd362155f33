"""`stream-idle`: how long does a silent stream live."""

from echo.probe.check import Check, Company
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class StreamIdle(Check):
    """See the question."""

    name = "stream-idle"
    question = "How long does a silent stream live?"
    company = Company.WAITING
    patience = 15.0
    causes = ("reset", "goaway", "closed", "silence")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
