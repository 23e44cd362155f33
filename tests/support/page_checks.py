"""Runs the console's checks by name, without the page's button, and the same checks on the command line."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from echo.probe.path import Path
from echo.probe.survey import Survey
from echo.probe.table import select
from tests.support.browser import console

NOISE: Final = ("Failed to load resource", "WebSocket connection to")
"""What the browser logs about responses and closes that are intended here."""


async def page_report(
    port: int, names: Sequence[str], *, idle: float | None = None, path: str = "/", **options: Any
) -> dict[str, Any]:
    """Runs these checks in a page of the gateway on this port; returns the report as the page saves it.

    Args:
        port: Where the page is.
        names: Of the checks.
        idle: Seconds that silence is to last, by default the page's own.
        path: Where it is there.
        options: As of `console`.
    """
    wanted = {"only": [*names]} | ({} if idle is None else {"idle": idle})
    async with console(port, noise=NOISE, path=path, **options) as page:
        found = await page.evaluate(
            f"""Promise.all([
                import("{path}console/check/survey.js"),
                fetch("{path}console/check/advice.json").then((answer) => answer.json()),
            ]).then(([{{ Survey }}, advice]) =>
                new Survey({{ begin() {{}}, end() {{}} }}, advice, {json.dumps(wanted)})
                    .run(new AbortController().signal)
            )"""
        )
    assert isinstance(found, dict)
    return found


async def line_report(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Runs these checks with the command line's probe; returns the report."""
    return (await Survey(path, select(only=names)).run()).document()


def checks_in(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The checks of a report by name."""
    return {check["name"]: check for check in report["checks"]}
