"""Tells a SIGHUP that a closing terminal sends, which should end a program, from one that asks it to reload."""

import os
import signal

__all__ = ["Terminal"]


class Terminal:
    """The terminal that this process was started from, if any. Create it before SIGHUP is handled."""

    def __init__(self) -> None:
        # nohup(1) ignores SIGHUP so that a program outlives its terminal.
        self._matters = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN and _is_there()

    def has_closed(self) -> bool:
        """Whether there was a terminal, which has closed. False if this process is to outlive it."""
        return self._matters and not _is_there()


def _is_there() -> bool:
    """Whether this process has a controlling terminal (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
