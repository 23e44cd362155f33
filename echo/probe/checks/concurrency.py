"""`concurrency`: how many calls may run at once on one connection."""

from echo.probe.check import Check, Company
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Concurrency(Check):
    """See the question."""

    name = "concurrency"
    question = "How many calls may run at once on one connection?"
    company = Company.ALONE
    patience = 12.0
    causes = ("limited", "stalls")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
