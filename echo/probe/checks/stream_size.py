"""`stream-size`: how many bytes may a stream carry in all, each way."""

from echo.probe.check import Check, Company
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class StreamSize(Check):
    """See the question."""

    name = "stream-size"
    question = "How many bytes may a stream carry in all, each way?"
    company = Company.ALONE
    patience = 30.0
    causes = ("request", "response")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
