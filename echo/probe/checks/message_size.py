"""`message-size`: how large may a message be, each way."""

from echo.probe.check import Check, Company
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class MessageSize(Check):
    """See the question."""

    name = "message-size"
    question = "How large may a message be, each way?"
    company = Company.ALONE
    patience = 15.0
    causes = ("request", "response")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
