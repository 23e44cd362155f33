"""The README's words are kept: its commands and examples are run as they stand, but for the ports.

And for how long wscat waits: until all has come that is to come, since a busy machine may take longer than a second.
"""

import contextlib
import os
import pty
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from echo.settings import SETTINGS, User
from tests.support.process import running

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
WSCAT = ROOT / "tests/interop/node/node_modules/.bin"
GRPCURL = ROOT / "tests/support/grpcurl.py"

# What moves the cursor and colours the text, wscat's prompt, and the terminal's carriage returns.
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|> |\r")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NANOSECONDS = re.compile(r'"timestamp":1\d{18}')


class Example(NamedTuple):
    command: str
    output: str


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def examples() -> list[Example]:
    """The commands of the console blocks, each with the output below it."""
    found = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Example(command, output))
    return found


def settled(text: str) -> str:
    """The text with what differs from run to run made the same."""
    return NANOSECONDS.sub('"timestamp":0', UUID.sub("UUID", text)).strip()


async def in_terminal(command: str, env: dict[str, str], lines: int | None = None) -> str:
    """What a command says in a terminal, as text. Without one wscat says nothing at all.

    With a number of lines, the command is ended once they are there.
    """
    ours, theirs = pty.openpty()
    said = b""
    try:
        async with trio.open_nursery() as nursery:
            run = partial(
                trio.run_process, ["bash", "-c", command], stdin=theirs, stdout=theirs, stderr=theirs, env=env
            )
            await nursery.start(run)
            os.close(theirs)
            with contextlib.suppress(OSError):  # Linux's way to say that the other end of a terminal is closed.
                while data := await trio.to_thread.run_sync(os.read, ours, 65_536, abandon_on_cancel=True):
                    said += data
                    if lines is not None and said.count(b"\n") >= lines:
                        nursery.cancel_scope.cancel()
    finally:
        os.close(ours)
    return CONTROL.sub("", said.decode())


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the commands are found: wscat where it was installed, grpcurl's stand-in where grpcurl is not."""
    if shutil.which("grpcurl") is None:
        stand_in = tmp_path / "grpcurl"
        stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{GRPCURL}" "$@"\n')
        stand_in.chmod(0o755)
    return f"{tmp_path}:{WSCAT}:{os.environ['PATH']}"


def needs(command: str) -> pytest.MarkDecorator | tuple[()]:
    name = command.split(maxsplit=1)[0]
    if name == "grpcurl":
        return ()  # Its stand-in is always there.
    search = f"{WSCAT}:{os.environ['PATH']}"
    return pytest.mark.third_party(
        lambda: shutil.which(name, path=search) is not None, reason=f"{name} is not installed"
    )


@pytest.mark.parametrize(
    "example", [pytest.param(example, marks=needs(example.command), id=example.command) for example in examples()]
)
async def test_what_is_there_to_try_gives_what_it_says(example: Example, path: str) -> None:
    async with running("up", "--grpc-server-port", "0", "--http-port", "0") as echo:
        server, gateway = await echo.grpc_port(), await echo.http_port()
        command = example.command.replace(":8080", f":{gateway}").replace(":8081", f":{server}")
        patient, waits = re.subn(r" -w [\d.]+$", " -w 30", command)
        lines = example.output.strip().count("\n") + 1 if waits else None
        with trio.fail_after(30):
            said = await in_terminal(patient, {**os.environ, "PATH": path}, lines)
    assert settled(said) == settled(example.output)


def test_the_example_of_using_the_runtime_works() -> None:
    (source,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "hello, trio\nfrom server: one\n"


def test_what_a_new_machine_runs_is_the_readme_s_test_command() -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    (check,) = [command for command in commands if command.endswith("just check")]
    assert f"{check} --yes" in (ROOT / ".ci/run").read_text().splitlines()


def test_the_tour_names_rooms_and_files_that_exist() -> None:
    tour = README[README.index("## A tour of the code") :]
    names = [name for name in re.findall(r"`([a-z_/]+(?:/|\.py))`", tour) if "/" in name]
    assert len(names) > 10
    for name in names:
        found = ROOT / name if not name.startswith(("interop", "bench", "soak")) else ROOT / "tests" / name
        assert found.exists(), name


def test_the_page_s_tables_of_settings_are_theirs_one_for_each_group() -> None:
    page = (ROOT / "docs/pages/settings.md").read_text()
    users = {User.SERVER: "server", User.GATEWAY: "gateway", User.BOTH: "both"}
    found = []
    for title, table in re.findall(r"^\*\*(.*)\*\*\n\n((?:\|.*\n)+)", page, re.MULTILINE):
        rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*?)`)? \| (\w+) \| (.*) \|$", table, re.MULTILINE)
        found += [(title, *row) for row in rows]
    assert found == [
        (each.title, each.variable, each.default_text, users[each.used_by], each.help) for each in SETTINGS
    ]
