"""Observers follow a call from its head to its end, to record it for instance. Few calls have one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from echo.wire import Field

if TYPE_CHECKING:
    from echo.transport.server_call import ServerCall


class CallObserver(Protocol):
    """Is told what happens to a call. Its methods never wait and raise nothing."""

    def half_closed(self) -> None:
        """The client will send no more messages."""

    def stalled(self, seconds: float) -> None:
        """Sending had to wait this long for the client to take more."""

    def over(self) -> None:
        """The call has ended, and its handler, if any, has returned."""


@dataclass(frozen=True, slots=True)
class ObserverRule:
    """Gives observers to some calls.

    Attributes:
        prefix: Only calls that have a metadata name with this prefix may get one. Others only cost this check.
        observer_for: Called with the call and its header list as its head arrives; returns its observer, or None.
            Raises nothing.
    """

    prefix: str
    observer_for: Callable[["ServerCall", Sequence[Field]], CallObserver | None]
