"""The stream of a log whose reader is slow, stops, or goes away."""

import io
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from echo.outlet import ATOMIC, PATIENCE, Outlet

LINE = b"x" * 99 + b"\n"


class Pipe:
    """A pipe, both ends."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stream: TextIO = os.fdopen(writer, "w")
        os.set_blocking(self.reader, False)

    def read(self) -> bytes:
        """All that is in it."""
        came = b""
        try:
            while data := os.read(self.reader, 65_536):
                came += data
        except BlockingIOError:
            pass
        return came


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.stream.close()
    os.close(pipe.reader)


def filled(outlet: Outlet) -> int:
    """Write until a line is dropped; gives how many were not."""
    written = 0
    while outlet.write_line(LINE):
        written += 1
    return written


def test_a_reader_that_stops_costs_one_moment_and_then_nothing(pipe: Pipe) -> None:
    outlet = Outlet(pipe.stream)
    began = time.perf_counter()
    written = filled(outlet)
    assert time.perf_counter() - began >= PATIENCE
    assert written > 100
    began = time.perf_counter()
    for _ in range(1_000):
        assert not outlet.write_line(LINE)
    assert time.perf_counter() - began < 100 * PATIENCE
    assert outlet.dropped == 1_001
    assert pipe.read() == LINE * written


def test_a_reader_that_comes_back_gets_whole_lines_again(pipe: Pipe) -> None:
    outlet = Outlet(pipe.stream)
    filled(outlet)
    pipe.read()
    assert outlet.write_line(b"again\n")
    assert pipe.read() == b"again\n"
    assert outlet.dropped == 1


def test_a_reader_that_is_slow_is_waited_for(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echo.outlet.PATIENCE", 20.0)  # A busy machine may stop the reader for longer than a moment.
    outlet = Outlet(pipe.stream)
    os.set_blocking(pipe.reader, True)
    lines = 5_000  # Many times what the pipe holds.
    came = bytearray()

    def read_slowly() -> None:
        while len(came) < lines * len(LINE):
            came.extend(os.read(pipe.reader, 500))

    reader = threading.Thread(target=read_slowly)
    reader.start()
    for _ in range(lines):
        assert outlet.write_line(LINE)
    reader.join()
    assert came == LINE * lines
    assert outlet.dropped == 0


def test_a_reader_that_is_gone_raises_nothing(pipe: Pipe) -> None:
    outlet = Outlet(pipe.stream)
    gone = os.dup(pipe.reader)
    os.close(pipe.reader)
    os.close(gone)
    assert not outlet.write_line(LINE)
    assert outlet.dropped == 1
    pipe.reader = os.open(os.devnull, os.O_RDONLY)


def test_a_stream_that_was_closed_raises_nothing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        outlet = Outlet(stream)
    assert not outlet.write_line(LINE)
    assert outlet.dropped == 1


@pytest.mark.parametrize("size", [ATOMIC, ATOMIC + 1, 5 * ATOMIC])
def test_long_lines_go_through_whole(pipe: Pipe, size: int) -> None:
    line = b"x" * (size - 1) + b"\n"
    assert Outlet(pipe.stream).write_line(line)
    assert pipe.read() == line


def test_a_long_line_that_is_cut_short_does_not_swallow_the_next(pipe: Pipe) -> None:
    outlet = Outlet(pipe.stream)
    assert not outlet.write_line(b"y" * 10_000_000 + b"\n")
    assert outlet.dropped == 1
    pipe.read()
    assert outlet.write_line(b"next\n")
    assert outlet.write_line(b"after that\n")
    assert pipe.read() == b"\nnext\nafter that\n"


def test_a_file_is_written_to(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        Outlet(stream).write_line(b"one\n")
        print("two", file=Outlet(stream), flush=True)
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_a_stream_in_memory_is_written_to() -> None:
    stream = io.StringIO()
    outlet = Outlet(stream)
    outlet.write_line("grüße\n".encode())
    outlet.write("two\n")
    assert stream.getvalue() == "grüße\ntwo\n"
    assert not outlet.isatty()


def test_logging_s_handlers_write_to_it(pipe: Pipe) -> None:
    outlet = Outlet(pipe.stream)
    handler = logging.StreamHandler(outlet)
    handler.emit(logging.makeLogRecord({"msg": "a lone surrogate \ud800"}))
    assert pipe.read() == b"a lone surrogate \\ud800\n"
    filled(outlet)
    handler.emit(logging.makeLogRecord({"msg": "lost"}))
    assert outlet.dropped == 2
