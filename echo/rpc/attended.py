"""Services some of whose calls have an attendant: somebody who goes along with a call and serves it in his own way.

Whether a call has one is decided as its head comes, by its metadata. The others are served as if there were no such
thing, at the cost of a look at the names in theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from grpclib.const import Handler

from echo.rpc.servable import Servable
from echo.rpc.server_stream import ServerStream
from echo.transport import Attendant, ServerCall
from echo.wire import ReceivedField

__all__ = ["Attended", "AttendedBy", "ReceivedField", "ServerCall", "ServingAttendant"]


@runtime_checkable
class ServingAttendant(Attendant, Protocol):
    """An attendant that serves the call, too."""

    async def serve(self, stream: ServerStream[Any, Any], handler: Handler, *, announced: bool) -> None:
        """Serve the call in place of the handler, which is there to be used.

        Args:
            stream: The call; nothing was received or sent.
            handler: The service's own.
            announced: Whether the client is to be told of the call as soon as this waits (`ServerStream.announce`).

        Raises:
            GRPCError, Exception: As a handler may.
        """


class AttendedBy(Protocol):
    """Gives calls their attendants."""

    def __call__(self, call: ServerCall, fields: Sequence[ReceivedField]) -> ServingAttendant | None:
        """The attendant of a call whose head came; None for none. Never waits, and raises nothing.

        Args:
            call: The call.
            fields: Its header list as it came. Not to be kept for calls that are not to occupy that much.
        """


@dataclass(frozen=True)
class Attended:
    """A service whose calls may have attendants.

    Attributes:
        service: The service.
        prefix: Calls have one only if some of their metadata has a name that begins so.
        attend: Gives them.
    """

    service: Servable
    prefix: str
    attend: AttendedBy

    def __mapping__(self) -> Mapping[str, Handler]:
        return self.service.__mapping__()
