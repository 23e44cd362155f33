"""Services with attendants: an attendant observes a call and serves it in place of the handler.

The metadata of a call's head decides whether it gets one. Other calls are served as usual; the only cost to them is a
check of their metadata's names.
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
    """An attendant that also serves the call."""

    async def serve(self, stream: ServerStream[Any, Any], handler: Handler, *, announced: bool) -> None:
        """Serve the call in place of the handler, which it may call.

        Args:
            stream: The call; nothing was received or sent yet.
            handler: The service's own handler.
            announced: Whether to send the response's head as soon as this waits (`ServerStream.announce`).

        Raises:
            GRPCError, Exception: Treated like a handler's.
        """


class AttendedBy(Protocol):
    """Chooses the attendant of each call."""

    def __call__(self, call: ServerCall, fields: Sequence[ReceivedField]) -> ServingAttendant | None:
        """Return the attendant for a new call, or None. Must not wait or raise.

        Args:
            call: The call.
            fields: Its header list as received. Keeping a reference keeps its memory.
        """


@dataclass(frozen=True)
class Attended:
    """A service whose calls may have attendants.

    Attributes:
        service: The service.
        prefix: Only calls with a metadata name that starts with this can have an attendant.
        attend: Chooses the attendant.
    """

    service: Servable
    prefix: str
    attend: AttendedBy

    def __mapping__(self) -> Mapping[str, Handler]:
        return self.service.__mapping__()
