"""An output stream for log lines that never blocks for long.

Standard error is often a pipe. If its reader stops reading, a blocking write stops the process and every call in it.
Here a line waits up to `PATIENCE` for room. If it gets none, this line and the following ones are dropped and counted,
without waiting, until there is room again. A reader that is only slow loses nothing; it slows the process down, as with
any stream.

The descriptor stays blocking, because other processes may share it, such as a shell on the same terminal.
"""

import io
import os
import select
import stat
from typing import Final, TextIO

PATIENCE: Final = 0.1  # Seconds that the first line waits for room.
ATOMIC: Final = 4096  # Bytes that a pipe with room accepts in one piece (PIPE_BUF on Linux).


class Outlet(io.TextIOBase):
    """A text stream for logging's handlers, which also takes lines as bytes.

    Args:
        stream: The stream to write to. Lines go directly to its descriptor; its own buffer is ignored.

    Attributes:
        dropped: How many lines were lost completely or in part.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.dropped: int = 0
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._poll: select.poll | None = None
        self._stuck = False
        self._line_cut = False  # The last line was cut short, so the next one starts with a line break.
        # Writes to a regular file always wait: poll(2) always reports it as ready.
        if self._descriptor is not None and not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self._poll = select.poll()
            self._poll.register(self._descriptor, select.POLLOUT)

    def write_line(self, line: bytes, count: int = 1) -> bool:
        """Write ``count`` lines, each with its line break. Returns whether everything was written. Raises nothing."""
        try:
            if self._descriptor is None:
                self._stream.write(line.decode("utf-8", "replace"))
                return True
            if len(line) <= ATOMIC and not self._line_cut:
                if self._poll is None or self._is_ready(self._poll):
                    os.write(self._descriptor, line)
                    return True
            elif self._write_long(self._descriptor, b"\n" + line if self._line_cut else line):
                return True
        except (OSError, ValueError):  # The reader is gone, the disk is full, or the stream was closed.
            pass
        self.dropped += count
        return False

    def _is_ready(self, poll: select.poll) -> bool:
        self._stuck = not poll.poll(0 if self._stuck else PATIENCE * 1000)
        return not self._stuck

    def _write_long(self, descriptor: int, line: bytes) -> bool:
        written = 0
        while written < len(line):
            if self._poll is not None and not self._is_ready(self._poll):
                self._line_cut = self._line_cut or written > 0
                return False
            written += os.write(descriptor, line[written : written + ATOMIC])
        self._line_cut = False
        return True

    # The interface of a text stream

    def write(self, text: str, /) -> int:
        """Write a line with its line break, as logging's handlers do; it may be dropped."""
        self.write_line(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def writable(self) -> bool:  # noqa: D102 - as any stream
        return True

    def isatty(self) -> bool:  # noqa: D102
        return self._stream.isatty()


def _descriptor(stream: TextIO) -> int | None:
    """The stream's file descriptor; None for an in-memory stream."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
