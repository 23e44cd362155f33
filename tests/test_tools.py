"""What may be installed on the machine, and who has to agree: ``tools.sh`` with stand-ins for Debian's tools."""

import os
import pty
import select
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "support" / "tools.sh"
ROOT_ASKS = "echo 0"
PLAIN_USER = "echo 1000"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """No Debian package is installed; who calls apt-get or npm leaves a line in ``called``."""
    put(tmp_path, "id", ROOT_ASKS)
    put(tmp_path, "dpkg-query", "exit 1")
    for name in ("apt-get", "npm"):
        put(tmp_path, name, f'echo "{name} $*" >>"{tmp_path}/called"')
    (tmp_path / "called").touch()
    return tmp_path


def put(folder: Path, name: str, does: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


def tools(programs: Path, *flags: str, ci: str = "", terminal: int | None = None) -> str:
    """What it says on standard error, if that is no terminal; it must succeed."""
    done = subprocess.run(
        [SCRIPT, "nginx haproxy", *flags],
        stdin=subprocess.DEVNULL if terminal is None else terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if terminal is None else terminal,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CI": ci},
        timeout=100,
        check=True,
    )
    return (done.stderr or b"").decode()


def installed(programs: Path) -> bool:
    return "apt-get -qq install --no-install-recommends nginx haproxy" in (programs / "called").read_text()


def test_without_a_terminal_and_a_yes_nothing_is_installed_and_it_says_what_is_missing(programs: Path) -> None:
    said = tools(programs)
    assert "missing: nginx haproxy; their tests are skipped" in said
    assert "apt-get" not in (programs / "called").read_text()


def test_yes_or_ci_installs_without_a_question(programs: Path) -> None:
    assert tools(programs, "--yes") == ""
    assert installed(programs)
    (programs / "called").write_text("")
    assert tools(programs, ci="true") == ""
    assert installed(programs)


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_at_a_terminal_it_asks(programs: Path, answer: str) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode() + b"\n")
        tools(programs, terminal=theirs)
        shown = ""  # The echo of the answer may come by itself.
        while "[y/N]" not in shown and select.select([ours], [], [], 10)[0]:
            shown += os.read(ours, 65_536).decode()
        assert "[y/N]" in shown
    finally:
        os.close(ours)
        os.close(theirs)
    assert installed(programs) is (answer == "y")


def test_only_root_can_install(programs: Path) -> None:
    put(programs, "id", PLAIN_USER)
    assert "sudo apt-get install nginx haproxy" in tools(programs, "--yes")
    assert "apt-get" not in (programs / "called").read_text()


def test_what_is_there_is_left_alone(programs: Path) -> None:
    put(programs, "dpkg-query", "echo install ok installed")
    assert tools(programs, "--yes") == ""
    assert "apt-get" not in (programs / "called").read_text()


def test_a_linked_folder_of_packages_is_never_handed_to_npm(programs: Path, tmp_path: Path) -> None:
    """npm ci empties the folder first, and with a link that is another checkout's."""
    checkout = tmp_path / "checkout"
    script = checkout / "tests" / "support" / "tools.sh"
    script.parent.mkdir(parents=True)
    script.write_bytes(SCRIPT.read_bytes())
    node = checkout / "tests" / "interop" / "node"
    node.mkdir(parents=True)
    (node / "package-lock.json").touch()
    (tmp_path / "elsewhere").mkdir()
    (node / "node_modules").symlink_to(tmp_path / "elsewhere")
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CI": ""}
    said = subprocess.run(["bash", script, ""], env=environment, capture_output=True, text=True, check=True).stderr
    assert "is a link" in said
    assert "npm" not in (programs / "called").read_text()
