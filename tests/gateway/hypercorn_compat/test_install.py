"""Putting our connections in place: only where they fit, and nothing else changes."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator

import hypercorn
import hypercorn.trio.run
import pytest
from hypercorn.trio.tcp_server import TCPServer

from echo.cli import main
from echo.gateway.environment import EnvironmentApp
from echo.gateway.hypercorn_compat import UnsupportedVersionError, install
from echo.gateway.hypercorn_compat.connection import Connection
from tests.support.logging_state import logging_restored

LINE = "{package} {found} is installed, but echo's gateway needs {package}{wanted}: run pip install '{package}{wanted}'"
HYPERCORN, WSPROTO = ">=0.18,<0.19", ">=1.2,<2"


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hypercorn as it is, before the test; and as the test found it, afterwards."""
    monkeypatch.setitem(vars(hypercorn.trio.run), "TCPServer", TCPServer)
    with logging_restored():
        yield


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Have packages of these versions."""
    known = {"hypercorn": "0.18.0", "wsproto": "1.3.2", **versions}
    monkeypatch.setitem(install.__globals__, "version", known.__getitem__)


def module_names() -> dict[str, dict[str, object]]:
    """All names of all modules of Hypercorn and wsproto that can be imported."""
    found = {}
    for package in (hypercorn, importlib.import_module("wsproto")):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("__main__"):
                try:
                    found[module.name] = dict(vars(importlib.import_module(module.name)))
                except ImportError:  # It needs what is not installed.
                    continue
    return found


def members(names: dict[str, dict[str, object]]) -> dict[tuple[str, str, str], object]:
    """What the classes among them hold."""
    return {
        (module, name, member): value
        for module, found in names.items()
        for name, cls in found.items()
        if isinstance(cls, type) and cls.__module__.partition(".")[0] in ("hypercorn", "wsproto")
        for member, value in vars(cls).items()
    }


def test_one_name_is_replaced() -> None:
    before = module_names()
    inside = members(before)
    install()
    after = module_names()
    changed = [
        (module, name)
        for module, names in after.items()
        for name, value in names.items()
        if before[module].get(name) is not value and name != "__builtins__"
    ]
    assert changed == [("hypercorn.trio.run", "TCPServer")]
    assert vars(hypercorn.trio.run)["TCPServer"] is Connection
    own = {key: value for key, value in members(after).items() if key[:2] != ("hypercorn.trio.run", "TCPServer")}
    assert all(inside[key] is value for key, value in own.items())


@pytest.mark.parametrize(
    "versions",
    [
        {"hypercorn": "0.18"},
        {"hypercorn": "0.18.7"},
        {"hypercorn": "0.18.1rc1"},
        {"wsproto": "1.2.0"},
        {"wsproto": "1.99"},
    ],
)
def test_versions_that_fit(versions: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, **versions)
    install()
    assert vars(hypercorn.trio.run)["TCPServer"] is Connection


@pytest.mark.parametrize(
    ("package", "found", "wanted"),
    [
        ("hypercorn", "0.17.3", HYPERCORN),
        ("hypercorn", "0.19.0", HYPERCORN),
        ("hypercorn", "0.19.0rc1", HYPERCORN),
        ("hypercorn", "1.0", HYPERCORN),
        ("wsproto", "1.1.0", WSPROTO),
        ("wsproto", "2.0.0", WSPROTO),
        ("wsproto", "unknown", WSPROTO),
    ],
)
def test_a_version_that_does_not_fit_is_one_clear_line(
    package: str, found: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, **{package: found})
    with pytest.raises(UnsupportedVersionError) as error:
        install()
    assert str(error.value) == LINE.format(package=package, found=found, wanted=wanted)
    assert vars(hypercorn.trio.run)["TCPServer"] is TCPServer


def test_a_version_is_refused_before_what_it_may_not_have_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, hypercorn="0.19.0")
    monkeypatch.setitem(sys.modules, "echo.gateway.hypercorn_compat.connection", None)
    with pytest.raises(UnsupportedVersionError):
        install()


def test_our_own_command_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(monkeypatch, hypercorn="0.19.0")
    assert main(["gateway", "--http-bind", "127.0.0.1", "--http-port", "0"]) == 2
    assert capsys.readouterr() == ("", f"echo: {LINE.format(package='hypercorn', found='0.19.0', wanted=HYPERCORN)}\n")


def test_under_plain_hypercorn_it_is_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(monkeypatch, wsproto="2.0.0")
    with pytest.raises(SystemExit) as end:
        _ = EnvironmentApp().__call__
    assert end.value.code == 2
    assert capsys.readouterr() == ("", f"echo: {LINE.format(package='wsproto', found='2.0.0', wanted=WSPROTO)}\n")
