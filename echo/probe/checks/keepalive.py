"""`keepalive`: who answers our pings, and how often may we ping."""

from echo.probe.check import Check, Company
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Keepalive(Check):
    """See the question."""

    name = "keepalive"
    question = "Who answers our pings, and how often may we ping?"
    company = Company.WAITING
    patience = 15.0
    causes = ("unanswered", "too-many-pings")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
