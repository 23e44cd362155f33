"""`reset`: does the reason why the server broke off a call arrive."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Reset(Check):
    """See the question."""

    name = "reset"
    question = "Does the reason why the server broke off a call arrive?"
    causes = ("rewritten",)

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
