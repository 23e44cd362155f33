"""`compression`: do compressed messages arrive as they were sent."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Compression(Check):
    """See the question."""

    name = "compression"
    question = "Do compressed messages arrive as they were sent?"
    patience = 8.0
    causes = ("flag-lost", "altered", "content-encoding")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
