"""The live table, on a terminal that keeps what is written to it."""

import io
import re

import trio
from trio.testing import MockClock

from echo.probe.finding import broken
from echo.probe.live import Table, live_table
from echo.probe.report import Result
from echo.probe.table import CHECKS

ESCAPES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class Screen:
    """As much of a terminal as the table uses: lines, moves up, erasing, and where the cursor is.

    Attributes:
        rows: What stands there.
        cursor: Whether it is to be seen.
    """

    def __init__(self) -> None:
        self.rows = [""]
        self.row = 0
        self.cursor = True

    def show(self, text: str) -> None:
        column = 0
        for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|.|\n|\r", text):
            if part == "\n":
                self.row, column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif part == "\r":
                column = 0
            elif part.endswith("A"):
                self.row -= int(part[2:-1])
                assert self.row >= 0
            elif part == "\x1b[K":
                self.rows[self.row] = self.rows[self.row][:column]
            elif part == "\x1b[J":
                del self.rows[self.row + 1 :]
                self.rows[self.row] = self.rows[self.row][:column]
            elif part in ("\x1b[?25l", "\x1b[?25h"):
                self.cursor = part.endswith("h")
            elif not part.startswith("\x1b"):
                line = self.rows[self.row]
                self.rows[self.row] = f"{line[:column]}{part}{line[column + 1 :]}"
                column += 1


def drawn(stream: io.StringIO) -> Screen:
    screen = Screen()
    screen.show(stream.getvalue())
    return screen


async def test_each_check_is_waiting_running_or_done(autojump_clock: MockClock) -> None:
    stream = io.StringIO()
    table = Table(CHECKS, stream, colour=True)
    table.begin(CHECKS[0])
    table.begin(CHECKS[1])
    await trio.sleep(7)
    table.end(CHECKS[0], Result("http2", "", broken("alpn", "No.")))
    table.draw()
    text = "\n".join(drawn(stream).rows)
    assert "1 of 33 checks are done" in text
    assert re.search(r"http2 +broken", text)
    assert re.search(r"trailers +running 7 s", text)
    assert re.search(r"status +waiting", text)


async def test_a_picture_goes_over_the_last_one_in_one_write(autojump_clock: MockClock) -> None:
    writes: list[str] = []

    class Terminal(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return super().write(text)

    stream = Terminal()
    table = Table(CHECKS, stream, colour=False)
    table.draw()
    first = drawn(stream).rows
    table.begin(CHECKS[0])
    table.draw()
    second = drawn(stream).rows
    assert len(writes) == 2
    assert len(first) == len(second)
    assert sum(a != b for a, b in zip(first, second, strict=True)) == 1


async def test_nothing_is_left_of_it(autojump_clock: MockClock) -> None:
    stream = io.StringIO()
    async with live_table(CHECKS, stream):
        await trio.sleep(3)
        assert len(drawn(stream).rows) > 10
        assert not drawn(stream).cursor
    assert drawn(stream).rows == [""]
    assert drawn(stream).cursor


async def test_it_fits_into_any_terminal(autojump_clock: MockClock) -> None:
    table = Table(CHECKS, io.StringIO(), colour=True)
    for check in CHECKS:
        table.begin(check)
    for width, height in [(80, 24), (80, 50), (120, 24), (200, 20), (40, 24), (80, 10), (20, 5), (80, 2)]:
        lines = [ESCAPES.sub("", line) for line in table.picture(width, height)]
        assert len(lines) < height
        assert all(len(line) < width for line in lines)
    assert len(table.picture(80, 24)) == 18
