"""`early-end`: does the answer of a server that ends while we still send arrive."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class EarlyEnd(Check):
    """See the question."""

    name = "early-end"
    question = "Does the answer of a server that ends while we still send arrive?"
    patience = 8.0
    causes = ("lost",)

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
