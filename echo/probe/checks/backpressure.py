"""`backpressure`: does a reader that pauses slow the sender down, each way."""

from echo.probe.check import Check, Company
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Backpressure(Check):
    """See the question."""

    name = "backpressure"
    question = "Does a reader that pauses slow the sender down, each way?"
    company = Company.ALONE
    patience = 20.0
    causes = ("buffered", "cut")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
