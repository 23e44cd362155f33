"""Opens an attempt at a call on the connection that the balancer chooses: at once if that takes no waiting."""

from collections.abc import Awaitable, Collection
from dataclasses import replace

import anyio

from echo.rpc.balancer import Balancer
from echo.rpc.subchannel import Subchannel
from echo.transport import ClientCall, ClientSession
from echo.wire import GRPCError, Request, Status


def begin_attempt(
    balancer: Balancer,
    request: Request,
    deadline: float,
    *,
    wait_for_ready: bool = False,
    avoided: Collection[ClientSession] = (),
) -> ClientCall | Awaitable[ClientCall]:
    """Open a call now, or else return an awaitable that opens it; then it must be awaited at once.

    Args:
        balancer: Chooses the connection.
        request: The head of the call.
        deadline: The call's deadline on the event loop's clock.
        wait_for_ready: Whether to wait for a connection instead of failing.
        avoided: Connections to avoid if possible.

    Raises:
        GRPCError: UNAVAILABLE or DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED if the server does not take so much metadata.
        ValueError, TypeError: The metadata cannot be sent.
    """
    chosen = balancer.choose(avoided)
    if chosen is not None and chosen.session is not None:
        call = chosen.session.open_now(_addressed(request, chosen), deadline)
        if call is not None:
            return call
    return _open_later(chosen, balancer, request, deadline, wait_for_ready, avoided)


async def open_attempt(
    balancer: Balancer,
    request: Request,
    deadline: float,
    *,
    wait_for_ready: bool = False,
    refused: ClientCall | None = None,
    avoided: Collection[ClientSession] = (),
) -> ClientCall:
    """Open a call, as `begin_attempt`; preferably not where an earlier attempt was ``refused``."""
    if refused is not None:
        avoided = (*avoided, refused.session)
    call = begin_attempt(balancer, request, deadline, wait_for_ready=wait_for_ready, avoided=avoided)
    return call if isinstance(call, ClientCall) else await call


async def _open_later(
    chosen: Subchannel | None,
    balancer: Balancer,
    request: Request,
    deadline: float,
    wait_for_ready: bool,
    avoided: Collection[ClientSession],
) -> ClientCall:
    """Wait for a connection unless one was chosen, and there for a stream."""
    while True:
        if chosen is None:
            with anyio.CancelScope(deadline=deadline) as scope:
                chosen = await balancer.wait(for_ready=wait_for_ready, avoided=avoided)
            if chosen is None or scope.cancelled_caught:
                why = f" ({balancer.failure})" if balancer.failure else ""
                raise GRPCError(Status.DEADLINE_EXCEEDED, f"the deadline passed{why}")
        assert chosen.session is not None  # Since the subchannel is ready.
        call = await chosen.session.open(_addressed(request, chosen), deadline)
        if call is not None:
            return call
        chosen = balancer.choose(avoided)


def _addressed(request: Request, chosen: Subchannel) -> Request:
    """The request with the authority of its endpoint."""
    authority = chosen.endpoint.authority
    return request if request.authority == authority else replace(request, authority=authority)
