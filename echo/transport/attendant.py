"""Who goes along with a call, from its head to its end; few calls have anybody."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from echo.wire import ReceivedField

if TYPE_CHECKING:
    from echo.transport.server_call import ServerCall


class Attendant(Protocol):
    """Hears what happens to a call. Its methods never wait, and raise nothing."""

    def half_closed(self) -> None:
        """The client sends no more."""

    def stalled(self, seconds: float) -> None:
        """Sending has waited so long for the client to take more."""

    def over(self) -> None:
        """The call is over, and its handler, if there was one, has returned."""


@dataclass(frozen=True, slots=True)
class Attending:
    """Which calls may have an attendant, and who gives it.

    Attributes:
        prefix: Some of their metadata has a name that begins so. The others cost a look at their names.
        attend: Gives a call one as its head comes, of which the header list is given, too. Raises nothing.
    """

    prefix: str
    attend: Callable[["ServerCall", Sequence[ReceivedField]], Attendant | None]
