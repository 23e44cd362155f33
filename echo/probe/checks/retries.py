"""`retries`: does the path repeat calls that failed."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Retries(Check):
    """See the question."""

    name = "retries"
    question = "Does the path repeat calls that failed?"
    causes = ("retried", "retried-unsafe")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
