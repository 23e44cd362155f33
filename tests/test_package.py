"""What is published: a wheel whose core works by itself, and whose parts say what they miss."""

import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.generated import generated
from tests.support.makes import MAKES

ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # pip takes its time.


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, as building writes."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("echo", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, source, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Python of a virtual environment of its own, with the wheel, the extras and what else is wanted."""

    def install(extras: str = "", *others: str) -> Path:
        folder = tmp_path_factory.mktemp("venv")
        venv.create(folder)
        python = folder / "bin/python"
        command = (sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python)
        done = run(*command, f"{wheel}{extras}", *others, cwd=folder)
        assert done.returncode == 0, done.stderr
        return python

    return install


def test_the_index_would_take_it(wheel: Path) -> None:
    done = run(sys.executable, "-m", "twine", "check", "--strict", *wheel.parent.iterdir(), cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert "PASSED" in done.stdout


def test_the_core_alone(installed: Callable[..., Path], tmp_path: Path) -> None:
    python = installed()
    names = "echo.rpc, echo.rpc.interceptors, echo.rpc.reflection, echo.rpc.testing"
    assert run(python, "-c", f"import {names}", cwd=tmp_path).stderr == ""
    for module, extra in {
        "echo.rpc.health": "betterproto",
        "echo.rpc.error_details": "betterproto",
        "echo.rpc.grpcio_style": "interop",
        "echo.services": "betterproto",
        "echo.gateway": "gateway",
    }.items():
        said = run(python, "-c", f"import {module}", cwd=tmp_path).stderr.splitlines()[-1]
        assert said.endswith(f"pip install 'echo-grpc[{extra}]'"), said
    command = run(python.with_name("echo-grpc"), "up", cwd=tmp_path)
    assert command.returncode == 2
    assert command.stderr == "echo-grpc: the command line needs click: pip install 'echo-grpc[cli]'\n"


def test_the_command_line_without_the_gateway(installed: Callable[..., Path], tmp_path: Path) -> None:
    python = installed("[cli]")
    probed = run(python, "-m", "echo", "probe", "127.0.0.1:1", "--quick", cwd=tmp_path)
    assert (probed.returncode, probed.stderr[:6]) == (3, "echo: "), probed
    for command in (["up", "--grpc-server-port", "0"], ["gateway"]):
        refused = run(python, "-m", "echo", *command, cwd=tmp_path)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.endswith(": pip install 'echo-grpc[gateway]'\n"), refused.stderr
        assert refused.stderr.startswith("echo: the gateway needs "), refused.stderr


def test_traces_of_a_program_of_one_s_own(installed: Callable[..., Path], tmp_path: Path) -> None:
    python = installed("[telemetry]")
    source = """
import os, trio
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:1"
from echo.rpc import Server, open_channel
from echo.telemetry.tracing import open_tracing

async def main():
    async with open_tracing(grace=0) as tracing, open_channel("unix:/nowhere", tracing=tracing.channel):
        Server([], tracing=tracing.server)

trio.run(main)
"""
    done = run(python, "-c", source, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_guide_s_programs_with_every_make_of_stub(installed: Callable[..., Path], tmp_path: Path) -> None:
    python = installed("[betterproto,interop]", f"betterproto2=={version('betterproto2')}")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "tests/support/makes.py", tmp_path)
    shutil.copytree(generated(), tmp_path, dirs_exist_ok=True)
    source = """
import anyio, importlib, makes, socket
reserved = socket.socket()  # Bound but not listening, so that nobody else is given the port.
reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
reserved.bind(("127.0.0.1", 0))
port = reserved.getsockname()[1]
for backend in ("trio", "asyncio"):
    for name in ("channels", "deadlines", "errors", "serving", "streams"):
        anyio.run(importlib.import_module(f"examples.guide.{name}").main, backend=backend)
    for make in ("grpclib", "grpcio"):
        anyio.run(importlib.import_module(f"examples.moving.from_{make}").main, port, backend=backend)
    for make, opening in makes.MAKES.items():
        anyio.run(makes.call_in_all_four_ways, opening, backend=backend)
        print(make)
"""
    done = run(python, "-c", source, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line in MAKES] == [*MAKES, *MAKES]


@pytest.mark.parametrize("checker", ["mypy --strict", "pyright"])
def test_type_checkers_find_nothing_in_programs_of_users(checker: str, tmp_path: Path) -> None:
    programs = [*(ROOT / "examples").glob("*.py"), *(ROOT / "examples/guide").glob("[a-su-z]*.py")]
    names = [str(path.relative_to(ROOT)) for path in programs if path.stem != "__init__"]
    (source,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    of_the_readme = tmp_path / "of_the_readme.py"
    of_the_readme.write_text(source)
    done = run(sys.executable, "-m", *checker.split(), *names, of_the_readme, cwd=ROOT)
    assert done.returncode == 0, done.stdout
