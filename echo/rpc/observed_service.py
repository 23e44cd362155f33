"""Services whose calls may have observers, which see what happens to a call and serve it in place of the handler.

The metadata of a call's head decides whether it gets one. Other calls are served as usual; the only cost to them is a
check of their metadata's names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from grpclib.const import Handler

from echo.rpc.servable import Servable
from echo.rpc.server_stream import ServerStream
from echo.transport import CallObserver, ServerCall
from echo.wire import Field

__all__ = ["ChooseObserver", "Field", "ObservedService", "ServerCall", "ServingObserver"]


@runtime_checkable
class ServingObserver(CallObserver, Protocol):
    """An observer that also serves the call."""

    async def serve(self, stream: ServerStream[Any, Any], handler: Handler, *, announced: bool) -> None:
        """Serve the call in place of the handler, which it may call.

        Args:
            stream: The call; nothing was received or sent yet.
            handler: The service's own handler.
            announced: Whether to send the response's head as soon as this waits (`ServerStream.announce`).

        Raises:
            GRPCError, Exception: Treated like a handler's.
        """


class ChooseObserver(Protocol):
    """Chooses the observer of each call."""

    def __call__(self, call: ServerCall, fields: Sequence[Field]) -> ServingObserver | None:
        """Return the observer for a new call, or None. Must not wait or raise.

        Args:
            call: The call.
            fields: Its header list as received. Keeping a reference keeps its memory.
        """


@dataclass(frozen=True)
class ObservedService:
    """A service whose calls may have observers.

    Attributes:
        service: The service.
        prefix: Only calls with a metadata name that starts with this can have an observer.
        observer_for: Chooses the observer.
    """

    service: Servable
    prefix: str
    observer_for: ChooseObserver

    def __mapping__(self) -> Mapping[str, Handler]:
        return self.service.__mapping__()
