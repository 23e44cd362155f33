"""`connection-idle`: how long does an idle connection live."""

from echo.probe.check import Check, Company
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class ConnectionIdle(Check):
    """See the question."""

    name = "connection-idle"
    question = "How long does an idle connection live?"
    company = Company.WAITING
    patience = 15.0
    causes = ("closed", "black-hole")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
