"""The live table on a terminal: each check is waiting, running (with its time so far), or has an outcome.

The whole table is redrawn a few times a second in one write, so that nothing flickers. At the end it is removed and the
cursor restored. Two columns of checks fit into 80 by 24; in less room, the table shows only running checks.
"""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TextIO

import trio

from echo.colours import takes_colours
from echo.probe.check import Check
from echo.probe.finding import Outcome
from echo.probe.report import Result

TICK: Final = 0.2  # Seconds between two pictures.
COLUMN: Final = 39  # A name and its state.
_NAME: Final = 20
_HIDE, _SHOW, _UP, _TO_END, _WIPE = "\x1b[?25l", "\x1b[?25h", "\x1b[{}A", "\x1b[K", "\x1b[J"
_COLOURS: Final = {
    Outcome.SURVIVED: "32",
    Outcome.LIMITED: "33",
    Outcome.BROKEN: "31",
    Outcome.INCONCLUSIVE: "35",
    Outcome.SKIPPED: "2",
}


class Table:
    """The table and its drawing; an `echo.probe.survey.ProgressListener`.

    Args:
        checks: All of them, in order.
        stream: The terminal.
        colour: Whether to use colours.
    """

    def __init__(self, checks: Sequence[Check], stream: TextIO, *, colour: bool) -> None:
        self._checks = checks
        self._stream = stream
        self._colour = colour
        self._began: dict[str, float] = {}
        self._ended: dict[str, Outcome] = {}
        self._shown = 0  # Lines of the last drawing.

    def begin(self, check: Check) -> None:
        """A check has begun."""
        self._began[check.name] = trio.current_time()

    def end(self, check: Check, result: Result) -> None:
        """A check has its outcome."""
        self._ended[check.name] = result.finding.outcome

    async def run(self) -> None:
        """Redraw until cancelled."""
        while True:
            self.draw()
            await trio.sleep(TICK)

    def draw(self) -> None:
        """Draw the current state."""
        width, height = shutil.get_terminal_size()
        lines = self.picture(width, height)
        above = _UP.format(self._shown) if self._shown else _HIDE
        # Lines left over from a longer drawing are erased at the end.
        body = "".join(line + _TO_END + "\n" for line in lines)
        self._write(f"{above}\r{body}{_WIPE}")
        self._shown = len(lines)

    def wipe(self) -> None:
        """Remove the table and show the cursor again."""
        if self._shown:
            self._write(f"{_UP.format(self._shown)}\r{_WIPE}{_SHOW}")
            self._shown = 0

    def picture(self, width: int, height: int) -> list[str]:
        """The lines of the table, narrower and fewer than the terminal's."""
        columns = max(1, (width - 1) // COLUMN)
        checks = list(self._checks)
        rows = -(-len(checks) // columns)
        if rows + 2 > height:  # The head, and the line below in which the cursor stands.
            checks = [check for check in checks if check.name in self._began and check.name not in self._ended]
            rows = min(-(-len(checks) // columns), max(0, height - 2))
        cells = [self._cell(check, min(COLUMN, width - 1)) for check in checks[: rows * columns]]
        lines = ["".join(cells[row::rows]).rstrip() for row in range(rows)]
        head = f"{len(self._ended)} of {len(self._checks)} checks are done; Ctrl-C stops and shows the results so far"
        return [head[: width - 1], *lines]

    def _cell(self, check: Check, width: int) -> str:
        outcome = self._ended.get(check.name)
        if outcome is not None:
            state = outcome.value
        elif check.name in self._began:
            state = f"running {trio.current_time() - self._began[check.name]:.0f} s"
        else:
            state = "waiting"
        name = f"{check.name:<{_NAME}}"
        text = f"{name}{state:<{COLUMN - _NAME}}"[:width]
        if not self._colour or outcome is None or len(text) <= _NAME:
            return text
        return f"{text[:_NAME]}\x1b[{_COLOURS[outcome]}m{text[_NAME:].rstrip()}\x1b[0m{' ' * _blanks(text)}"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@asynccontextmanager
async def live_table(checks: Sequence[Check], stream: TextIO) -> AsyncIterator[Table]:
    """Show a table on the terminal while the block runs, and remove it afterwards."""
    table = Table(checks, stream, colour=takes_colours(stream))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.run)
        try:
            yield table
        finally:
            table.wipe()
            nursery.cancel_scope.cancel()


def _blanks(text: str) -> int:
    return len(text) - len(text.rstrip())
