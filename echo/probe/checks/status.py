"""`status`: do all 17 status codes arrive, with their messages and details."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Status(Check):
    """See the question."""

    name = "status"
    question = "Do all 17 status codes arrive, with their messages and details?"
    causes = ("rewritten", "message", "details", "trailers-only")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
