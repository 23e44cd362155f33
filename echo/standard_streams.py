"""Standard streams: what a process does at its start about closed ones, and at its end about unwritten output."""

import os
import sys
from contextlib import suppress

__all__ = ["drop_unwritten", "occupy_closed"]


def occupy_closed() -> None:
    """Open the null device for closed standard streams. Else a socket could get such a number, and its output."""
    with suppress(OSError):  # Without a null device, they stay closed.
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)


def drop_unwritten() -> None:
    """Drop the output that could not be written, for example on a full disk.

    From Python 3.14 on, Python would try again at exit, report another error, and exit with status 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
