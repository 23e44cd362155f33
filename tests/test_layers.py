"""A package imports from another one only what that one's ``__init__`` exports."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = ["wire", "transport", "rpc"]
# Services of their own, which not everybody wants to load; how to have calls observed, counted and traced; and what the
# probe builds a client of that hides nothing.
SIDE_DOORS = {
    *(
        "echo.rpc.observed_service",
        "echo.rpc.error_details",
        "echo.rpc.health",
        "echo.rpc.interceptors",
        "echo.rpc.reflection",
    ),
    "echo.rpc.register",
    "echo.rpc.tracing",
    *("echo.wire.frames", "echo.wire.header_lists", "echo.wire.hpack"),
}
ECHO = Path(__file__).parent.parent / "echo"


def crossings() -> Iterator[tuple[str, str, str]]:
    """Every import of one of the rooms from outside of it: where it stands, the module, and the name."""
    for path in sorted(ECHO.rglob("*.py")):
        here = path.relative_to(ECHO).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                parts = node.module.split(".")
                if parts[0] == "echo" and len(parts) > 1 and parts[1] in ROOMS and parts[1] != here:
                    for name in node.names:
                        yield f"{path.relative_to(ECHO)}:{node.lineno}", node.module, name.name
            elif isinstance(node, ast.Import):
                for name in node.names:
                    parts = name.name.split(".")
                    if parts[0] == "echo" and len(parts) > 1 and parts[1] in ROOMS and parts[1] != here:
                        yield f"{path.relative_to(ECHO)}:{node.lineno}", name.name, ""


def test_rooms_are_entered_by_their_front_doors() -> None:
    doors = {f"echo.{room}" for room in ROOMS} | SIDE_DOORS
    assert [f"{where}: {module}" for where, module, _ in crossings() if module not in doors] == []


def test_what_is_taken_is_offered() -> None:
    for where, module, name in crossings():
        if name and module not in SIDE_DOORS and f"{module}.{name}" not in SIDE_DOORS:
            assert name in importlib.import_module(module).__all__, where


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_offered_is_there_and_in_order(room: str) -> None:
    module = importlib.import_module(f"echo.{room}")
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    for name in module.__all__:
        assert hasattr(module, name)


def test_the_runtime_meets_its_rooms_in_few_places() -> None:
    """`rpc` and those above see the wire as a handful of names, not as a library of parts.

    Besides the transport, a health check drives a connection by itself: it has no event loop.
    """
    of_wire = {
        name
        for where, module, name in crossings()
        if module == "echo.wire" and not where.startswith(("transport", "health"))
    }
    assert len(of_wire) <= 34
