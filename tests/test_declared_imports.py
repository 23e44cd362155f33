"""Every library that echo imports is declared in pyproject.toml, so that it is there for whoever installs echo."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parent.parent


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    found = (re.match(r"[A-Za-z0-9_.-]+", requirement) for requirement in requirements)
    return {normal(match[0]) for match in found if match is not None}


def imported() -> set[str]:
    names: set[str] = set()
    for path in (ROOT / "echo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"echo"}


def test_every_import_is_declared() -> None:
    of = packages_distributions()
    missing = {name for name in imported() if not {normal(package) for package in of[name]} & declared()}
    assert missing == set()


def test_nothing_is_declared_that_is_not_imported() -> None:
    of = packages_distributions()
    used = {normal(package) for name in imported() for package in of[name]}
    assert declared() - used - {"echo-grpc"} == set()
