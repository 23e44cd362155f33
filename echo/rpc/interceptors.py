"""What is done around calls of all four kinds, on either side: an async context that each call is within.

An interceptor is a function that is given the call's stream, most easily one with `contextlib.asynccontextmanager`::

    @asynccontextmanager
    async def authenticated(call: ServerStream[Any, Any]) -> AsyncIterator[None]:
        if call.metadata.get("authorization") != SECRET:
            raise GRPCError(Status.UNAUTHENTICATED, "who are you?")
        yield  # The handler runs here.


    server = Server(services, interceptors=[authenticated])

On the server, what comes before the ``yield`` runs before the handler, in the call's own task and under its deadline.
It refuses the call by raising `GRPCError`. What the handler raises, being cancelled included, is raised at the
``yield``; what leaves the outermost interceptor decides the status.

On the client, ``async with channel.request(...)`` enters the interceptors that the channel was opened with, and so do
the stubs of every make. Before the ``yield`` nothing was sent yet, and ``call.metadata`` may be added to. How the call
failed is raised at the ``yield``, also when that was found out in leaving the block.

Messages pass by an interceptor unseen; grpclib's events tell of those.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from echo.rpc.client_stream import ClientStream
    from echo.rpc.server_stream import ServerStream

__all__ = ["ClientInterceptor", "ServerInterceptor"]

ServerInterceptor: TypeAlias = "Callable[[ServerStream[Any, Any]], AbstractAsyncContextManager[object]]"
"""Gives the context that a handler runs within."""

ClientInterceptor: TypeAlias = "Callable[[ClientStream[Any, Any]], AbstractAsyncContextManager[object]]"
"""Gives the context that a caller's block runs within."""

Method: TypeAlias = "Callable[[ServerStream[Any, Any]], Awaitable[None]]"


InterceptorT = TypeVar("InterceptorT")


def checked(interceptors: Iterable[InterceptorT]) -> tuple[InterceptorT, ...]:
    """The interceptors, if each of them can be one.

    Raises:
        TypeError: One is not a function, but perhaps an object made for ``grpc.aio``.
    """
    taken = tuple(interceptors)
    for interceptor in taken:
        if not callable(interceptor):
            raise TypeError(
                f"{interceptor!r} is not an interceptor: those are functions that give a context, "
                "see echo.rpc.interceptors"
            )
    return taken


def intercepted(method: Method, interceptors: Sequence[ServerInterceptor]) -> Method:
    """For the dispatcher: the method within these contexts, the first one outermost."""

    async def within(stream: "ServerStream[Any, Any]") -> None:
        async with AsyncExitStack() as contexts:
            for interceptor in interceptors:
                await contexts.enter_async_context(interceptor(stream))
            await method(stream)

    return within
