"""Closed standard streams are occupied before anything else is opened; output that nobody takes is no error at exit."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def in_a_process(source: str, redirections: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f'exec "$0" -c "$1" {redirections}', sys.executable, source]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_what_a_library_keeps_open_takes_the_place_of_no_standard_stream(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    source = f"""
import os, sys
import echo.__main__

class Library:
    def find_spec(self, name, path=None, target=None):
        if name == "echo.health.command":
            self.kept = open("{__file__}")

library = Library()
sys.meta_path.insert(0, library)
sys.argv = ["echo-grpc", "health", "--nonsense"]
echo.__main__.main()
with open("{seen}", "w") as file:
    file.write(" ".join(os.readlink(f"/proc/self/fd/{{number}}") for number in range(3)))
assert library.kept
"""
    assert in_a_process(source, "<&- >&- 2>&-").returncode == 0
    assert seen.read_text().split() == ["/dev/null"] * 3


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_for_a_full_disk_changes_no_exit_status(stream: str) -> None:
    source = f"""
import sys
from echo.standard_streams import drop_unwritten

sys.{stream} = open(sys.{stream}.fileno(), "w", closefd=False)  # With a buffer.
sys.{stream}.write("too much")
drop_unwritten()
sys.exit(2)
"""
    done = in_a_process(source, ">/dev/full" if stream == "stdout" else "2>/dev/full")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
