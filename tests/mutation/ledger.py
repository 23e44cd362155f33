"""What became of each mutant, kept in a file from run to run, and the survivors that are explained."""

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from tests.mutation.mutants import Mutant

Outcome = Literal["killed", "timeout", "survived", "untested"]
GONE: Final = ("killed", "timeout")


@dataclass(frozen=True)
class Entry:
    """One outcome.

    Attributes:
        file, source: Which file, and a digest of what was in it.
        line, column, change: Which mutant of it.
        outcome: What became of it; ``untested`` if no test runs the line.
        state: A digest of all code and tests.
    """

    file: str
    source: str
    line: int
    column: int
    change: str
    outcome: Outcome
    state: str


class Ledger:
    """The outcomes so far. One that is gone stays so; a survivor is tried anew when code or tests have changed."""

    def __init__(self, kept: Path, state: str) -> None:
        self._kept = kept
        self._state = state
        self._entries: dict[tuple[str, str, int, int, str], Entry] = {}
        for line in kept.read_text().splitlines() if kept.exists() else ():
            entry = Entry(**json.loads(line))
            if entry.outcome in GONE or entry.state == state:
                self._entries[_key(entry)] = entry

    def outcome(self, file: str, source: str, mutant: Mutant) -> Outcome | None:
        """None: it has yet to be tried."""
        entry = self._entries.get((file, digest(source.encode()), mutant.line, mutant.column, mutant.change))
        return None if entry is None else entry.outcome

    def add(self, file: str, source: str, mutant: Mutant, outcome: Outcome) -> None:
        """Keep an outcome, at once."""
        found = digest(source.encode())
        entry = Entry(file, found, mutant.line, mutant.column, mutant.change, outcome, self._state)
        self._entries[_key(entry)] = entry
        with self._kept.open("a") as kept:
            kept.write(json.dumps(asdict(entry)) + "\n")


class Explained:
    """Survivors that no test can or need kill, each with the reason, from ``survivors.toml``."""

    def __init__(self, file: Path) -> None:
        entries = tomllib.loads(file.read_text()).get("survivor", [])
        self.entries = Counter((entry["file"], entry["text"], entry["change"]) for entry in entries)
        self._used: set[tuple[str, str, str]] = set()

    def __contains__(self, found: tuple[str, Mutant]) -> bool:
        file, mutant = found
        key = (file, mutant.text, mutant.change)
        if key in self.entries:
            self._used.add(key)
        return key in self.entries

    def idle(self, files: Iterable[str]) -> list[tuple[str, str, str]]:
        """Those of these files that explain nothing: the line has changed, or the mutant is killed by now."""
        return [key for key in self.entries if key[0] in set(files) and key not in self._used]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _key(entry: Entry) -> tuple[str, str, int, int, str]:
    return entry.file, entry.source, entry.line, entry.column, entry.change
