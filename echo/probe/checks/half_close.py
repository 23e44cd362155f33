"""`half-close`: does the server see that we have sent everything, and do responses go on after it."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class HalfClose(Check):
    """See the question."""

    name = "half-close"
    question = "Does the server see that we have sent everything, and do responses go on after it?"
    patience = 8.0
    causes = ("not-seen", "reset")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
