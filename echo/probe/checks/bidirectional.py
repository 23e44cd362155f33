"""`bidirectional`: do responses come while we still send."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Bidirectional(Check):
    """See the question."""

    name = "bidirectional"
    question = "Do responses come while we still send?"
    patience = 8.0
    causes = ("held-to-end",)

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
