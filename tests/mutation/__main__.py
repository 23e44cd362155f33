"""``just mutants``: put small faults into the code, one at a time, and see whether the tests notice.

By default it goes through ``echo/wire`` and ``echo/transport``. What became of each mutant is kept in ``.mutation``, so
a run that was stopped, by hand or by ``--minutes``, goes on where it was. Each trial has a copy of the tree to itself.
All of them take many hours; ``--sample 300`` tries 300 drawn at random and says what share of all the tests notice.

For other rooms of echo name their files and, by ``--tests``, the folders or files whose tests are to notice. Nothing
else should run beside it: the slower the tests are when it learns their lines, the fewer it tries with each mutant.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

import click

from tests.mutation.ledger import Explained, Ledger, Outcome, digest
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.plugin import ROOT
from tests.mutation.sample import draw, in_words
from tests.mutation.selection import COMMAND, ENVIRONMENT, ROOMS, Stage, learn

KEPT: Final = ROOT / ".mutation"
DEFAULT: Final = ("echo/wire", "echo/transport")
COPIED: Final = ("echo", "tests", "proto", "pyproject.toml", "README.md", "justfile", ".ci")
START: Final = 30.0  # Seconds that pytest has to start on a busy machine.
SLOWNESS: Final = 4  # How many times as long as before tests may take until that counts as not ending.


@dataclass
class Job:
    """A mutant to be tried."""

    file: str
    source: str
    mutant: Mutant
    stages: list[Stage]


@dataclass
class Place:
    """A copy of the tree, and what is tried there.

    Attributes:
        tree: Where it is.
        job: What is tried.
        process: pytest, in a session of its own.
        until: When it is given up.
    """

    tree: Path
    job: Job
    process: subprocess.Popen[bytes] = field(init=False)
    until: float = field(init=False)

    def __post_init__(self) -> None:
        self._write(self.job.mutant.source)
        self._left = list(self.job.stages)
        self._start()

    def _start(self) -> None:
        stage = self._left.pop(0)
        arguments = self.tree / "arguments"
        arguments.write_text("\n".join(stage.tests))
        self.process = subprocess.Popen(
            [*COMMAND, "-x", f"@{arguments}"],
            cwd=self.tree,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.until = time.monotonic() + START + SLOWNESS * stage.seconds

    def outcome(self) -> Outcome | None:
        """What has become of it; None while it is being tried."""
        code = self.process.poll()
        if code is None and time.monotonic() < self.until:
            return None
        if code == 0 and self._left:
            self._start()
            return None
        self.clear()
        if code is None:
            return "timeout"
        return "survived" if code == 0 else "killed"

    def clear(self) -> None:
        """End what is left of it, its own processes too, and put the file back."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._write(self.job.source)

    def _write(self, source: str) -> None:
        file = self.tree / self.job.file
        file.write_text(source)
        # It would be taken for this source's if that is as long and written within the same second.
        Path(cache_from_source(str(file))).unlink(missing_ok=True)


@click.command(help=__doc__)
@click.argument("paths", nargs=-1)
@click.option("--workers", default=os.cpu_count() or 1, show_default=True, help="How many are tried at a time.")
@click.option("--minutes", default=60.0, show_default=True, help="When to stop for this time.")
@click.option("--sample", type=click.IntRange(min=1), help="Try only so many, drawn at random from all.")
@click.option("--seed", default=0, show_default=True, help="Another seed draws others.")
@click.option("--tests", "rooms", multiple=True, default=ROOMS, show_default=True, help="Where the tests are.")
def main(
    paths: tuple[str, ...], workers: int, minutes: float, sample: int | None, seed: int, rooms: tuple[str, ...]
) -> None:
    ends = time.monotonic() + 60 * minutes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # So that no trial outlives this.
    KEPT.mkdir(exist_ok=True)
    state = _state(rooms)
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in _files(paths or DEFAULT)}
    ledger, explained = Ledger(KEPT / "results.jsonl", state), Explained(ROOT / "tests/mutation/survivors.toml")
    found = [(file, mutant) for file, source in sources.items() for mutant in mutants(source)]
    drawn = draw(found, sample or len(found), seed)
    with tempfile.TemporaryDirectory() as folder:
        trees = [_copy(Path(folder, str(number))) for number in range(workers)]
        selection = learn(trees[0], KEPT / "lines.json", state, rooms)
        jobs = [
            Job(file, sources[file], mutant, selection.stages(file, mutant))
            for file, mutant in drawn
            if ledger.outcome(file, sources[file], mutant) is None
        ]
        _try_all(jobs, trees, ledger, ends)
    nothing_left = _report(drawn, sources, ledger, explained, whole=len(drawn) == len(found))
    if sample:
        outcomes = (ledger.outcome(file, sources[file], mutant) for file, mutant in drawn)
        print("\n" + in_words(outcomes, len(found), seed))
    if not nothing_left:
        raise SystemExit(1)


def _files(paths: tuple[str, ...]) -> list[Path]:
    found = [ROOT / path for path in paths]
    return sorted(file for path in found for file in (path.rglob("*.py") if path.is_dir() else [path]))


def _state(rooms: tuple[str, ...]) -> str:
    """Of everything that an outcome depends on."""
    files = _files(("echo", "tests/support", *rooms))
    return digest(b"".join(digest(file.read_bytes()).encode() for file in files))


def _copy(tree: Path) -> Path:
    tree.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    return tree


def _try_all(jobs: list[Job], trees: list[Path], ledger: Ledger, ends: float) -> None:
    """Try them until there are no more, or the time is up."""
    left, total = list(reversed(jobs)), len(jobs)
    free, busy = list(trees), list[Place]()
    try:
        while busy or (left and time.monotonic() < ends):
            while free and left and time.monotonic() < ends:
                job = left.pop()
                if job.stages:
                    busy.append(Place(free.pop(), job))
                else:
                    _note(job, "untested", ledger, total - len(left), total)
            time.sleep(0.02)
            for place in list(busy):
                outcome = place.outcome()
                if outcome is not None:
                    busy.remove(place)
                    free.append(place.tree)
                    _note(place.job, outcome, ledger, total - len(left), total)
    finally:
        for place in busy:
            place.clear()


def _note(job: Job, outcome: Outcome, ledger: Ledger, number: int, total: int) -> None:
    ledger.add(job.file, job.source, job.mutant, outcome)
    print(f"{number}/{total} {outcome:8} {job.file}:{job.mutant.line}: {job.mutant.change}", flush=True)


def _report(
    tried: list[tuple[str, Mutant]], sources: dict[str, str], ledger: Ledger, explained: Explained, *, whole: bool
) -> bool:
    """Print the figures of each file and the survivors; whether there is nothing left to do."""
    survivors: list[tuple[str, Mutant]] = []
    counts: dict[str, Counter[str]] = {file: Counter() for file in sources}
    for file, mutant in sorted(tried, key=lambda pair: (pair[0], pair[1].line)):
        outcome = ledger.outcome(file, sources[file], mutant)
        if outcome not in ("survived", "untested"):
            counts[file][outcome or "not tried"] += 1
        elif (file, mutant) in explained:
            counts[file]["explained"] += 1
        else:
            counts[file]["survived"] += 1
            survivors.append((file, mutant))
    print("\n| file | mutants | killed | timeout | survived | explained | not tried |\n|---|--:|--:|--:|--:|--:|--:|")
    for file, of_file in counts.items():
        if of_file:
            print(_row(file, of_file))
    total = sum(counts.values(), Counter[str]())
    print(_row("all", total))
    for file, mutant in survivors:
        print(f"\n{file}:{mutant.line}: {mutant.text}\n    {mutant.change}")
    idle = explained.idle(sources) if whole and not total["not tried"] else []
    for key in idle:
        print(f"\nsurvivors.toml explains what is no survivor: {key}")
    return not (survivors or idle or total["not tried"])


def _row(name: str, counts: Counter[str]) -> str:
    kinds = ("killed", "timeout", "survived", "explained", "not tried")
    return f"| {name} | {sum(counts.values())} | " + " | ".join(str(counts[kind]) for kind in kinds) + " |"


if __name__ == "__main__":
    main()
