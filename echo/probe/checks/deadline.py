"""`deadline`: does the server hear how long a call may take."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Deadline(Check):
    """See the question."""

    name = "deadline"
    question = "Does the server hear how long a call may take?"
    patience = 8.0
    causes = ("missing", "changed")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
