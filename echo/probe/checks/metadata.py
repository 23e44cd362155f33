"""`metadata`: does metadata pass unchanged, both ways."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Metadata(Check):
    """See the question."""

    name = "metadata"
    question = "Does metadata pass unchanged, both ways?"
    causes = ("dropped", "merged", "rewritten")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
