"""Call credentials: metadata that say on whose behalf a call is made, such as a token, obtained for each attempt.

Whoever reads them can make calls in that name, so they are sent over TLS only, unless the channel's owner allows plain
text. They are asked for each attempt at a call, also when it is retried, within the call's deadline; keeping a token
while it is valid is for them to do.

When they cannot be had, the call fails: with the status of the `GRPCError` they raised, else UNAUTHENTICATED (gRPC's
"Status codes and their use"). Statuses that speak of what a call was to do, such as NOT_FOUND, become INTERNAL: nobody
is to take a token service's word for the called server's (proposal A54).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import anyio

from echo.wire import GRPCError, Metadata, MetadataLike, Request, Status

__all__ = ["CallCredentials", "metadata_with"]

CallCredentials: TypeAlias = Callable[[str, str], Awaitable[MetadataLike]]
"""Gives the metadata for a call, given the service's URL (``https://host/package.Service``) and the method's name."""

# What a server says of what it was asked for (A54, "Inappropriate statuses").
_RESERVED: Final = frozenset(
    {
        *(Status.OK, Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.ALREADY_EXISTS, Status.FAILED_PRECONDITION),
        *(Status.ABORTED, Status.OUT_OF_RANGE, Status.DATA_LOSS),
    }
)


async def metadata_with(credentials: Sequence[CallCredentials], request: Request, deadline: float) -> Metadata:
    """A request's metadata, with the credentials' behind them.

    Args:
        credentials: Asked one after the other.
        request: The head of the call.
        deadline: On the event loop's clock.

    Raises:
        GRPCError: They cannot be had; DEADLINE_EXCEEDED.
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
                text = f"call credentials failed in a way that is not theirs: {error.status.name}: {error.message}"
                raise GRPCError(Status.INTERNAL, text) from error
            except Exception as error:
                text = f"call credentials could not be had: {type(error).__name__}: {error}"
                raise GRPCError(Status.UNAUTHENTICATED, text) from error
    if scope.cancelled_caught:
        raise GRPCError(Status.DEADLINE_EXCEEDED, "the deadline passed while call credentials were asked for")
    return metadata
