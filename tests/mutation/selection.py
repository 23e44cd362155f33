"""Which tests to try a mutant with: those that run its line, the nearest and quickest first."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.mutation.mutants import Mutant
from tests.mutation.plugin import ROOT, WANTED

# The last two see what is counted and recorded of connections and calls.
ROOMS: Final = ("tests/wire", "tests/transport", "tests/rpc", "tests/e2e", "tests/telemetry", "tests/services")
QUICK: Final = "not third_party and not slow"
ENOUGH: Final = 30.0  # Seconds that the tests of one mutant take as long as none fails.
FIRST: Final = 1.5  # Seconds that those take which are tried first, by themselves: most mutants live no longer.
COMMAND: Final = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutation.plugin", "-p", "no:cacheprovider"]
# Compiling all modules anew would be half of what a trial costs.
ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass
class Stage:
    """Tests that are run together.

    Attributes:
        most: Seconds that they may take.
        tests: Their names.
        seconds: How long they take.
    """

    most: float
    tests: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Selection:
    """What is known of the tests.

    Attributes:
        lines: For each test, the lines that it runs of each file.
        seconds: How long each takes.
        rooms: Where they are, the nearest first.
    """

    lines: dict[str, dict[str, list[int]]]
    seconds: dict[str, float]
    rooms: tuple[str, ...] = ROOMS

    def stages(self, file: str, mutant: Mutant) -> list[Stage]:
        """The tests for a mutant of the file, to be run stage by stage until one fails.

        What is run by importing the file is of concern to all tests that use it, and to those that import it to look
        at its constants; if there are none, to all.
        """
        wanted = set(mutant.run)
        found = [
            test
            for test, files in self.lines.items()
            if file in files and (not wanted or not wanted.isdisjoint(files[file]))
        ]
        if not wanted:
            found = list(dict.fromkeys([*found, *self._importing(file)])) or list(self.lines)
        stages = [Stage(FIRST), Stage(ENOUGH)]
        for test in sorted(found, key=self._rank):
            seconds = self.seconds.get(test, 0.0)
            for stage in stages:
                if not stage.tests or stage.seconds + seconds <= stage.most:
                    stage.tests.append(test)
                    stage.seconds += seconds
                    break
        return [stage for stage in stages if stage.tests]

    def _importing(self, file: str) -> list[str]:
        module = file.removesuffix(".py").replace("/", ".")
        sources = {test.partition("::")[0] for test in self.lines}
        importing = {
            source for source in sources if (ROOT / source).is_file() and module in (ROOT / source).read_text()
        }
        return [test for test in self.lines if test.partition("::")[0] in importing]

    def _rank(self, test: str) -> tuple[int, float]:
        room = next((number for number, room in enumerate(self.rooms) if test.startswith(room)), len(self.rooms))
        return room, self.seconds.get(test, 0.0)


def learn(tree: Path, kept: Path, state: str, rooms: tuple[str, ...]) -> Selection:
    """Run the tests once, traced, unless that was done for this state of the code already.

    Raises:
        SystemExit: Some test fails without any mutant.
    """
    found = json.loads(kept.read_text()) if kept.exists() else {}
    if found.get("state") != state:
        print(f"learning which tests run which lines: {' '.join(rooms)}", flush=True)
        written = kept.with_suffix(".new")
        done = subprocess.run(
            [*COMMAND, "-m", QUICK, *rooms], cwd=tree, env={**ENVIRONMENT, WANTED: str(written)}, check=False
        )
        if done.returncode:
            raise SystemExit("the tests fail as it is: there is nothing to learn from mutants")
        found = {"state": state, **json.loads(written.read_text())}
        kept.write_text(json.dumps(found))
        written.unlink()
    return Selection(found["lines"], found["seconds"], rooms)
