"""Where lines of a log go: a stream that is never waited for without end, whoever reads it.

Standard error is often a pipe. When its reader stops, a write to it stops the process, and with it every call. Here a
line waits `PATIENCE` for room. If there is none it is dropped and counted, and so are those after it, without waiting,
until there is room again. A reader that is merely slow loses nothing, and slows the process down, as with any stream.

The descriptor is not made non-blocking for that: other processes may have it too, a shell's terminal above all.
"""

import io
import os
import select
import stat
from typing import Final, TextIO

PATIENCE: Final = 0.1  # Seconds that the first line waits.
ATOMIC: Final = 4096  # Bytes that a pipe with any room takes whole (PIPE_BUF of Linux).


class Outlet(io.TextIOBase):
    """A text stream for logging's handlers, and lines in bytes for those who have them.

    Args:
        stream: Where it all goes. What it has buffered itself is not looked at; ours goes past it, to its descriptor.

    Attributes:
        dropped: How many lines were lost, in whole or in part.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.dropped = 0
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._poll: select.poll | None = None
        self._stuck = False
        self._torn = False  # A line was cut short; the next is not to continue it.
        # A file is written to however long it takes: poll(2) finds it ready at all times.
        if self._descriptor is not None and not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self._poll = select.poll()
            self._poll.register(self._descriptor, select.POLLOUT)

    def write_line(self, line: bytes, count: int = 1) -> bool:
        """Write a line, its end included, or so many; tell whether all was taken. Raises nothing."""
        try:
            if self._descriptor is None:
                self._stream.write(line.decode("utf-8", "replace"))
                return True
            if len(line) <= ATOMIC and not self._torn:
                if self._poll is None or self._is_ready(self._poll):
                    os.write(self._descriptor, line)
                    return True
            elif self._write_long(self._descriptor, b"\n" + line if self._torn else line):
                return True
        except (OSError, ValueError):  # Nobody reads it any more, the disk is full, it was closed.
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
                self._torn = self._torn or written > 0
                return False
            written += os.write(descriptor, line[written : written + ATOMIC])
        self._torn = False
        return True

    # As a text stream

    def write(self, text: str, /) -> int:
        """Write a line with its end, as logging's handlers do; it may be dropped."""
        self.write_line(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def writable(self) -> bool:  # noqa: D102 - as any stream
        return True

    def isatty(self) -> bool:  # noqa: D102
        return self._stream.isatty()


def _descriptor(stream: TextIO) -> int | None:
    """The stream's; None if it is in memory."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
