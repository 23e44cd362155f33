"""The pages are built without a warning, and what they show is run or checked somewhere."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from echo import rpc
from echo.contract import PING_INTERVAL
from echo.probe.table import CHECKS
from echo.rpc import Limits
from tests.support.generated import with_plugins
from tests.test_readme import README

LIMITS = Limits()
ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs/pages"
INCLUDE = re.compile(r'--8<-- "([\w./]+\.py)(?::\w+)?"')
# Commands on the pages that the README does not have, and who runs their like.
ELSEWHERE = {
    "wscat -c ws://localhost:8080/ws/stream/bidirectional": "tests/test_readme.py",
    "grpcurl -plaintext -d": "tests/test_readme.py",
    ".venv/bin/just probe localhost:8081": "tests/probe/test_survey.py",
    "echo-grpc probe https://echo.example.com": "tests/probe/test_formats.py",
    "pip install '/path/to/echo[betterproto]'": "tests/test_package.py, and requirements-dev.txt has the rest",
    "mkdir -p pb": "test_the_commands_that_make_code_of_a_proto_do_so",
    "python -m grpc_tools.protoc": "test_the_commands_that_make_code_of_a_proto_do_so",
    ".venv/bin/just soak --short": "tests/soak",
    ".venv/bin/just probe https://grpc.echo.example.com": "tests/probe/test_formats.py",
    "helm upgrade echo deploy/helm/echo --namespace echo --reset-then-reuse-values": "tests/deploy/test_readme.py",
    ".venv/bin/just install": "tests/test_install.py",
    ".venv/bin/python -m tests.bench.scale": "tests/bench/test_scale.py",
    ".venv/bin/python -m tests.scale": "tests/scale/test_scale.py",
}


def blocks(language: str) -> list[tuple[str, str]]:
    """Page and text of each block in this language, also of those that stand within tabs."""
    fenced = re.compile(rf"^ *```{language}\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    return [
        (str(page.relative_to(PAGES)), block)
        for page in sorted(PAGES.rglob("*.md"))
        for block in fenced.findall(page.read_text())
    ]


@pytest.mark.slow
def test_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "docs.build", "--into", str(tmp_path)]
    built = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=250)
    said = f"built; open {tmp_path / 'index.html'} in a browser\n"
    assert (built.returncode, built.stdout, built.stderr) == (0, said, "")
    assert "HTTP/2" in (tmp_path / "checks/index.html").read_text()
    assert "GRPC_SERVER_PORT" in (tmp_path / "settings/index.html").read_text()
    assert "betterproto2" in (tmp_path / "library/generators/index.html").read_text()


def test_python_on_the_pages_is_of_files_that_are_run() -> None:
    pieces = [(page, line.strip()) for page, block in blocks("python") for line in block.splitlines() if line.strip()]
    assert pieces
    assert [(page, line) for page, line in pieces if not INCLUDE.fullmatch(line)] == []
    run = (ROOT / "tests/test_examples.py").read_text()
    for _, line in pieces:
        match = INCLUDE.fullmatch(line)
        assert match is not None
        path = Path(match[1])
        name = path.stem.removeprefix("from_").removeprefix("on_")
        assert path.parts[0] == "echo" or name in run or path.name.startswith("test_"), path


def test_commands_on_the_pages_are_run_somewhere() -> None:
    commands = [
        (page, line) for page, block in blocks("sh") for line in block.splitlines() if line and not line.startswith(" ")
    ]
    unknown = [
        (page, line) for page, line in commands if line not in README and not any(map(line.startswith, ELSEWHERE))
    ]
    assert unknown == []


@pytest.mark.parametrize(
    ("page", "text"),
    [
        *((page, f"every {PING_INTERVAL:g} s") for page in ("contract.md", "checks.md", "scale.md")),
        ("checks.md", f"{LIMITS.max_header_list_size // 2**10} KiB"),
        ("checks.md", f"{LIMITS.max_message_size // 2**20} MiB"),
    ],
)
def test_limits_in_the_text_of_the_pages_are_those_of_the_code(page: str, text: str) -> None:
    assert text in (PAGES / page).read_text()


def test_the_commands_that_make_code_of_a_proto_do_so(tmp_path: Path) -> None:
    (tmp_path / "proto").mkdir()
    shutil.copy(ROOT / "examples/proto/todo.proto", tmp_path / "proto")
    (commands,) = [block for page, block in blocks("sh") if page == "library/start.md"]
    _, *lines = commands.splitlines()  # The first one installs what is here already.
    script = "\n".join(lines).replace("python ", f"{shlex.quote(sys.executable)} ")
    made = subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=with_plugins(), check=False, capture_output=True)
    assert made.returncode == 0, made.stderr
    assert "class TodosStub" in (tmp_path / "pb/todo/v1/__init__.py").read_text()


@pytest.mark.parametrize(
    "options",
    re.findall(r"\| `(--\S+_out=.*)` \|$", (PAGES / "library/generators.md").read_text(), re.MULTILINE),
)
def test_the_options_of_each_generator_make_services_and_stubs(tmp_path: Path, options: str) -> None:
    (tmp_path / "pb").mkdir()
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}/examples", *options.split()]
    subprocess.run([*command, "proto/todo.proto"], cwd=tmp_path, env=with_plugins(), check=True, timeout=60)
    made = "".join(path.read_text() for path in tmp_path.rglob("*.py"))
    assert re.search(r"class TodosStub", made)
    assert re.search(r"class Todos(Base|Servicer)", made)


def test_the_page_of_the_api_has_every_public_name_but_grpclib_s() -> None:
    members = re.search(r"members: \[(.*)\]", (PAGES / "library/api.md").read_text())
    assert members is not None
    own = {name for name in rpc.__all__ if not getattr(rpc, name).__module__.startswith("grpclib.")}
    assert set(members[1].split(", ")) == own


def test_the_files_on_the_page_about_the_architecture_exist() -> None:
    named = re.findall(r"`(echo/[\w/]+\.py)`", (PAGES / "architecture.md").read_text())
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_check_is_explained() -> None:
    explained = re.findall(r"^## `(.+)`\n\n(.)", (PAGES / "checks.md").read_text(), re.MULTILINE)
    assert [name for name, _ in explained] == [check.name for check in CHECKS]


def test_every_check_is_recommended_for_a_symptom() -> None:
    page = (PAGES / "troubleshooting.md").read_text()
    recommended = re.findall(r"^\| [^|]+ \| `([a-z][a-z0-9,-]*)`(?:, with[^|]+)? \|$", page, re.MULTILINE)
    names = {name for line in recommended for name in line.split(",")}
    assert names == {check.name for check in CHECKS}


def test_messages_on_the_page_for_troubleshooting_are_those_in_the_code() -> None:
    page = (PAGES / "troubleshooting.md").read_text()
    rows = re.findall(r"^\| (?!grpcurl)(.+?) \|", page, re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    code = "".join(path.read_text() for path in (ROOT / "echo").rglob("*.py"))
    assert len(messages) > 15
    assert [message for message in messages if message not in code] == []
