"""`drain`: does a server that is about to stop finish its calls."""

from echo.probe.check import Check
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class Drain(Check):
    """See the question."""

    name = "drain"
    question = "Does a server that is about to stop finish its calls?"
    patience = 12.0
    causes = ("call-lost", "new-calls-fail")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
