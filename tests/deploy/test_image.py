"""The image: what the Dockerfile says, and that its steps give a container that serves with a read-only root."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.rpc import open_channel
from echo.rpc.stubs import bind
from tests.deploy.dockerfile import Stage, build, container, parse, passes, usable
from tests.support.process import ROOT, Echo, running_as

DOCKERFILE = ROOT / "Dockerfile"
NOBODY = 65532
PORTS = {"GRPC_SERVER_PORT": "0", "HTTP_PORT": "0"}

in_a_container = [
    pytest.mark.third_party(usable, reason="bubblewrap is not installed, or may make no user namespaces"),
    pytest.mark.slow,
    pytest.mark.timeout(900),  # The first one has the image built, and pip takes its time.
]


@pytest.fixture(scope="module")
def image() -> Iterator[Stage]:
    """Outside of pytest's own folder, which is closed to all other users."""
    work = Path(tempfile.mkdtemp(prefix="echo-image-"))
    work.chmod(0o755)
    yield build(DOCKERFILE, work)
    shutil.rmtree(work)


def run(image: Stage, *command: str, **variables: str) -> list[str]:
    """A command in a container of the image; as root's tests might do what others can't, they become its user first."""
    uid = str(NOBODY)
    become = ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups"] if os.geteuid() == 0 else []
    return [*become, *container(image, command, variables)]


def done(image: Stage, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(run(image, *command, **variables), capture_output=True, text=True, timeout=60, check=False)


@asynccontextmanager
async def started(image: Stage) -> AsyncIterator[Echo]:
    """A container with the image's own entry point and command."""
    command = [*image.said["ENTRYPOINT"].words, *image.said["CMD"].words]
    async with running_as(run(image, *command, **PORTS), os.environ, Path("/")) as echo:
        yield echo


def health_check(image: Stage) -> list[str]:
    return parse(re.sub(r"--\S+ ", "", image.said["HEALTHCHECK"].rest))[0].words


def first_child(pid: int) -> int:
    """What bubblewrap runs; for itself a signal would be the end."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


@pytest.mark.third_party(lambda: shutil.which("hadolint") is not None, reason="hadolint is for Linux alone")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        ["hadolint", "--failure-threshold", "style", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_and_the_user_is_a_number() -> None:
    """A user by name would be root for all that Kubernetes' ``runAsNonRoot`` can tell."""
    said = [(each.name, each.rest) for each in parse(DOCKERFILE.read_text())]
    assert all(rest.startswith("${PYTHON_IMAGE}") for name, rest in said if name == "FROM")
    pinned = r"^ARG PYTHON_IMAGE=\S+@sha256:[0-9a-f]{64}$"
    assert re.search(pinned, DOCKERFILE.read_text(), re.MULTILINE)
    assert ("USER", f"{NOBODY}:{NOBODY}") in said
    assert ("STOPSIGNAL", "SIGTERM") in said


def test_every_package_that_goes_in_is_pinned_by_hash() -> None:
    installs = [line for each in parse(DOCKERFILE.read_text()) for line in each.rest.split("&&") if " install " in line]
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        *(("pyproject.toml", True), ("echo/cli/__init__.py", True), ("deploy/image/requirements.txt", True)),
        *((".git/config", False), (".venv/bin/python", False), ("tests/conftest.py", False)),
        *(("echo/cli/__pycache__/x.pyc", False), ("deploy/image/pin.sh", False), ("requirements.txt", False)),
    ],
)
def test_nothing_goes_to_the_builder_but_what_it_copies(path: str, goes: bool) -> None:
    assert passes(path, (ROOT / ".dockerignore").read_text().splitlines()) is goes


def test_the_digest_of_the_base_is_written_by_a_command(tmp_path: Path) -> None:
    script = tmp_path / "deploy" / "image" / "pin.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "deploy/image/pin.sh", script)
    shutil.copy(DOCKERFILE, tmp_path)
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$*" >"{tmp_path}/asked"\necho "sha256:$(printf %064d 7)"\n')
    docker.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([script], env=env, check=True, stdout=subprocess.PIPE)
    pinned = f"ARG PYTHON_IMAGE=python:3.13.15-slim-trixie@sha256:{7:064d}\n"
    assert (tmp_path / "asked").read_text().endswith(" python:3.13.15-slim-trixie\n")
    assert pinned in (tmp_path / "Dockerfile").read_text()
    subprocess.run([script, "python:3.14-slim"], env=env, check=True, stdout=subprocess.PIPE)
    assert "=python:3.14-slim@sha256:" in (tmp_path / "Dockerfile").read_text()
    docker.write_text("#!/bin/sh\necho no route >&2; exit 1\n")
    before = (tmp_path / "Dockerfile").read_text()
    assert subprocess.run([script], env=env, check=False, stderr=subprocess.PIPE).returncode == 1
    assert (tmp_path / "Dockerfile").read_text() == before


class TestContainer:
    """What the steps have made, with a read-only root and as the image's user."""

    pytestmark = in_a_container

    async def test_it_serves_is_healthy_and_stops_in_good_order(self, image: Stage) -> None:
        async with started(image) as echo:
            server, gateway = await echo.grpc_port(), await echo.http_port()
            async with open_channel("127.0.0.1", server) as channel, bind(ServerStub, channel) as stub:
                reply = await stub.get_reply(Message("image"), timeout=60)
            assert reply.response == "from server:image"
            check = health_check(image)
            assert check == ["echo-grpc", "health"]
            check += ["--connect-timeout", "60s", "--rpc-timeout", "60s"]  # By default a second.
            asked = done(image, *check, GRPC_SERVER_PORT=str(server))
            assert (asked.returncode, asked.stdout) == (0, "status: SERVING\n")
            assert done(image, *check, "--http", f"127.0.0.1:{gateway}").returncode == 0
            stop = signal.Signals[image.said["STOPSIGNAL"].rest]
            os.kill(first_child(echo.pid), stop)
            assert await echo.status() == 0
        assert done(image, *check, GRPC_SERVER_PORT=str(server)).returncode == 2

    def test_it_is_nobody_who_can_write_nowhere(self, image: Stage) -> None:
        assert done(image, "id", "-u").stdout == f"{NOBODY}\n"
        for place in ("/x", "/opt/echo/x", "/opt/echo/lib/x"):
            assert "Read-only file system" in done(image, "touch", place).stderr

    def test_nothing_to_build_with_is_left(self, image: Stage) -> None:
        (packages,) = (image.root / "opt/echo/lib").glob("python3.*/site-packages")
        names = {path.name for path in packages.iterdir()}
        assert {"echo", "trio"} <= names
        assert not {"pip", "setuptools", "hatchling"} & names
        assert done(image, "/usr/local/bin/python", "-c", "import hatchling").returncode == 1
        assert not (image.root / "src").exists()

    def test_nothing_is_compiled_at_the_start(self, image: Stage) -> None:
        command = [*image.said["ENTRYPOINT"].words, "gateway", "--help"]
        said = done(image, *command, PYTHONVERBOSE="1").stderr
        assert len(re.findall(r"^# code object from '.*\.pyc'$", said, re.MULTILINE)) > 100
        assert re.findall(r"^# code object from [^']*\.py$", said, re.MULTILINE) == []
        nowhere = done(image, *command, PYTHONVERBOSE="1", PYTHONPYCACHEPREFIX="/nowhere").stderr
        assert re.search(r"^# code object from [^']*\.py$", nowhere, re.MULTILINE)  # Is how it would say so.

    @pytest.mark.parametrize("arguments", [["--version"], ["probe", "--help"], ["serve", "--help"]])
    def test_its_arguments_are_echo_s(self, arguments: list[str], image: Stage) -> None:
        assert done(image, *image.said["ENTRYPOINT"].words, *arguments).returncode == 0
