"""Who goes along with a call, from its head to its end; few calls have anybody."""

from typing import Protocol


class Attendant(Protocol):
    """Hears what happens to a call. Its methods never wait, and raise nothing."""

    def half_closed(self) -> None:
        """The client sends no more."""

    def stalled(self, seconds: float) -> None:
        """Sending has waited so long for the client to take more."""

    def over(self) -> None:
        """The call is over, and its handler, if there was one, has returned."""
