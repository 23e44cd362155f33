"""What mkdocs fills in from the code and the tests: advice for a check, metrics, generators, other libraries' names.

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
from tests.rpc.surfaces import SURFACES
from tests.support.makes import MAKES


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
    for make in MAKES:
        yield f"| {make} | yes | yes | yes | yes |"


def metrics() -> Iterator[str]:
    """Every metric by Prometheus's name of it."""
    yield "| metric | type | labels | what it tells |\n|---|---|---|---|"
    for one in INSTRUMENTS:
        labels = ", ".join(f"`{name.replace('.', '_')}`" for name in one.attributes)
        yield f"| `{prometheus_name(one.name, one.unit, one.kind)}` | {one.kind} | {labels} | {one.description} |"


def surface(library: str) -> Iterator[str]:
    """Each public name of another library's: whether it works as there, and what to use if it does not."""
    yield "| there | works as it does there | instead |\n|---|---|---|"
    for one in SURFACES[library]:
        named: dict[str, list[str]] = {}
        for name, use in sorted(one.otherwise.items()):
            named.setdefault(use, []).append(f"`{name}`")
        instead = (f"{', '.join(names)}: {use}" for use, names in named.items())
        yield f"| `{one.name}` | {', '.join(f'`{name}`' for name in sorted(one.supported))} | {'<br>'.join(instead)} |"


WRITERS: dict[str, Callable[..., Iterator[str]]] = {
    "advice": advice,
    "generators": generators,
    "metrics": metrics,
    "surface": surface,
}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill in what the page asks for; mkdocs calls this."""
    asked = re.compile(r"<!-- generated: (\w+) ?([\w-]*) -->")
    return asked.sub(lambda found: "\n".join(WRITERS[found[1]](*found[2].split())), markdown)
