"""What mkdocs fills in from the code: advice for a check, metrics, generators.

A page asks for it by a comment such as ``<!-- generated: metrics -->`` or ``<!-- generated: advice stream-idle -->``.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # mkdocs loads this file by its path.

from echo.advice import read_advice
from echo.telemetry.names import INSTRUMENTS
from echo.telemetry.prometheus import prometheus_name
from tests.rpc.test_generated_code import MAKES


def advice(check: str) -> Iterator[str]:
    """The settings to look at for each cause of a check."""
    causes = read_advice().get(check, {})
    if causes:
        yield "| found | look at |\n|---|---|"
    for cause, lines in causes.items():
        yield f"| {cause.replace('-', ' ')} | {'<br>'.join(line.replace('|', '&#124;') for line in lines)} |"


def generators() -> Iterator[str]:
    """The generators whose code the tests run, as they list them."""
    yield "| generator | services | stubs | trio | asyncio |\n|---|---|---|---|---|"
    for make in ["betterproto 2.0", *MAKES]:
        yield f"| {make} | yes | yes | yes | yes |"


def metrics() -> Iterator[str]:
    """Every metric by Prometheus's name of it."""
    yield "| metric | type | labels | what it tells |\n|---|---|---|---|"
    for one in INSTRUMENTS:
        labels = ", ".join(f"`{name.replace('.', '_')}`" for name in one.attributes)
        yield f"| `{prometheus_name(one.name, one.unit, one.kind)}` | {one.kind} | {labels} | {one.description} |"


WRITERS: dict[str, Callable[..., Iterator[str]]] = {
    "advice": advice,
    "generators": generators,
    "metrics": metrics,
}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill in what the page asks for; mkdocs calls this."""
    asked = re.compile(r"<!-- generated: (\w+) ?([\w-]*) -->")
    return asked.sub(lambda found: "\n".join(WRITERS[found[1]](*found[2].split())), markdown)
