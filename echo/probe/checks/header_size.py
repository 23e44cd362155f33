"""`header-size`: how large may metadata be."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class HeaderSize(Check):
    """See the question."""

    name = "header-size"
    question = "How large may metadata be?"
    patience = 12.0
    causes = ("request", "response", "trailers")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
