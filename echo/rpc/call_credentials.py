"""Call credentials: metadata that identify the caller, for instance a token, requested for each attempt at a call.

Anybody who reads them can make calls as that caller, so they are sent only over TLS, unless the channel allows plain
text. They are requested for each attempt, including retries, within the call's deadline. Caching a token while it is
valid is up to them.

If they fail, so does the call: with the status of the `GRPCError` they raised, else with UNAUTHENTICATED (gRPC's
"Status codes and their use"). Statuses about the outcome of a call, such as NOT_FOUND, become INTERNAL, so that a
failure of the token service is not mistaken for the called server's answer (proposal A54).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import anyio

from echo.rpc.foreign_cancellation import is_foreign
from echo.wire import GRPCError, Metadata, MetadataLike, Request, Status

__all__ = ["CallCredentials", "metadata_with"]

CallCredentials: TypeAlias = Callable[[str, str], Awaitable[MetadataLike]]
"""Returns the metadata for a call, given the service's URL (``https://host/package.Service``) and the method's name."""

# Statuses that only the called server may give (A54, "Inappropriate statuses").
_RESERVED: Final = frozenset(
    {
        *(Status.OK, Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.ALREADY_EXISTS, Status.FAILED_PRECONDITION),
        *(Status.ABORTED, Status.OUT_OF_RANGE, Status.DATA_LOSS),
    }
)


async def metadata_with(credentials: Sequence[CallCredentials], request: Request, deadline: float) -> Metadata:
    """A request's metadata, followed by that of the credentials.

    Args:
        credentials: The call credentials, requested in this order.
        request: The head of the call.
        deadline: The call's deadline on the event loop's clock.

    Raises:
        GRPCError: The credentials failed, or the deadline passed (DEADLINE_EXCEEDED).
    """
    service, _, method = request.path[1:].rpartition("/")
    url = f"{request.scheme}://{request.authority.removesuffix(':443')}/{service}"
    metadata = request.metadata.copy()
    with anyio.CancelScope(deadline=deadline) as scope:
        for ask in credentials:
            try:
                metadata.extend(await ask(url, method))
            except GRPCError as error:
                if error.status not in _RESERVED:
                    raise
                text = f"call credentials failed with an inappropriate status: {error.status.name}: {error.message}"
                raise GRPCError(Status.INTERNAL, text) from error
            except BaseException as error:
                if not isinstance(error, Exception) and not is_foreign(error):
                    raise
                text = f"call credentials failed: {type(error).__name__}: {error}"
                raise GRPCError(Status.UNAUTHENTICATED, text) from error
    if scope.cancelled_caught:
        raise GRPCError(Status.DEADLINE_EXCEEDED, "the deadline passed while waiting for call credentials")
    return metadata
