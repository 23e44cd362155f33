"""`stream-duration`: how long does a busy stream live."""

from echo.probe.check import Check, Company
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class StreamDuration(Check):
    """See the question."""

    name = "stream-duration"
    question = "How long does a busy stream live?"
    company = Company.WAITING
    patience = 15.0
    causes = ("cut",)

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
