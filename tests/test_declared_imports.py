"""Every library that echo imports is declared in pyproject.toml, so that installing echo installs it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parent.parent
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# What has to be installed for the files below each folder; the longest name that fits counts.
INSTALLED_WITH: Final = {
    "echo": "cli",
    "echo/wire": "",
    "echo/transport": "",
    "echo/rpc": "",
    "echo/rpc/grpcio_channel.py": "interop",
    "echo/rpc/grpcio_style": "interop",
    "echo/pb": "betterproto",
    "echo/gateway": "gateway",
    "echo/telemetry": "telemetry",
    "echo/telemetry/tracing/requests.py": "telemetry,gateway",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extras: str) -> set[str]:
    """What these extras install, with what is always installed and with the extras that they include."""
    requirements = list(PROJECT["dependencies"])
    for extra in filter(None, extras.split(",")):
        requirements += PROJECT["optional-dependencies"][extra]
    found = set()
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9_.-]+)(?:\[(.+)\])?", requirement)
        assert match is not None
        found |= declared(match[2]) if match[2] else {normal(match[1])}
    return found


def run(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below this one, without what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from run(child)


def imported() -> dict[str, set[str]]:
    """The libraries that each file imports."""
    names: dict[str, set[str]] = {}
    for path in (ROOT / "echo").rglob("*.py"):
        found = names.setdefault(str(path.relative_to(ROOT)), set())
        for node in run(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
                found.add(node.module.split(".")[0])
        found -= set(sys.stdlib_module_names) | {"echo"}
    return names


def test_every_import_is_installed_with_the_extra_of_its_part() -> None:
    of = packages_distributions()
    missing = [
        f"{file} imports {name}"
        for file, names in imported().items()
        for name in names
        if not {normal(package) for package in of[name]}
        & declared(INSTALLED_WITH[max((part for part in INSTALLED_WITH if file.startswith(part)), key=len)])
    ]
    assert missing == []


def test_nothing_is_declared_that_is_not_imported() -> None:
    of = packages_distributions()
    used = {normal(package) for name in set(chain(*imported().values())) for package in of[name]}
    assert declared("all") - used == set()
