"""Observers follow a call from its head to its end, to record it for instance. Few calls have one."""

from typing import Protocol


class CallObserver(Protocol):
    """Is told what happens to a call. Its methods never wait and raise nothing."""

    def half_closed(self) -> None:
        """The client will send no more messages."""

    def stalled(self, seconds: float) -> None:
        """Sending had to wait this long for the client to take more."""

    def over(self) -> None:
        """The call has ended, and its handler, if any, has returned."""
