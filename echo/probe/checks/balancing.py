"""`balancing`: which servers answer the calls of one connection, and of many."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Balancing(Check):
    """See the question."""

    name = "balancing"
    question = "Which servers answer the calls of one connection, and of many?"
    causes = ("one-instance",)

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
