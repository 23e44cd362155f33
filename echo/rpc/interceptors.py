"""Interceptors: async contexts around calls of all four kinds, on the server or the client.

An interceptor is a function that takes the call's stream and returns an async context, most easily written with
`contextlib.asynccontextmanager`::

    @asynccontextmanager
    async def authenticated(call: ServerStream[Any, Any]) -> AsyncGenerator[None]:
        if call.metadata.get("authorization") != SECRET:
            raise GRPCError(Status.UNAUTHENTICATED, "who are you?")
        yield  # The handler runs here.


    server = Server(services, interceptors=[authenticated])

On the server, the code before the ``yield`` runs before the handler, in the call's own task and under its deadline. It
can refuse the call by raising `GRPCError`. Whatever the handler raises, cancellation included, is raised at the
``yield``; the exception that leaves the outermost interceptor decides the status.

On the client, ``async with channel.request(...)`` enters the interceptors that the channel was opened with, and so do
all kinds of stubs. Before the ``yield`` nothing has been sent, and ``call.metadata`` may be changed. If the call fails,
its error is raised at the ``yield``, even if it only shows when the block is left. An interceptor may raise another
error in its place, but cannot supply a reply: if it suppresses the error, the caller continues after the block.

Interceptors do not see messages; grpclib's events do.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from echo.rpc.client_stream import ClientStream
    from echo.rpc.server_stream import ServerStream

__all__ = ["ClientInterceptor", "ServerInterceptor"]

ServerInterceptor: TypeAlias = "Callable[[ServerStream[Any, Any]], AbstractAsyncContextManager[object]]"
"""Returns the context around a handler."""

ClientInterceptor: TypeAlias = "Callable[[ClientStream[Any, Any]], AbstractAsyncContextManager[object]]"
"""Returns the context around a caller's block."""

Method: TypeAlias = "Callable[[ServerStream[Any, Any]], Awaitable[None]]"


InterceptorT = TypeVar("InterceptorT")


def checked(interceptors: Iterable[InterceptorT]) -> tuple[InterceptorT, ...]:
    """Check that each interceptor can be called, and is not a bare coroutine or generator function.

    Raises:
        TypeError: One is something else, perhaps an object made for ``grpc.aio``.
    """
    taken = tuple(interceptors)
    for interceptor in taken:
        if not callable(interceptor):
            raise TypeError(
                f"{interceptor!r} is not an interceptor: those are functions that return an async context, "
                "see echo.rpc.interceptors"
            )
        if inspect.isasyncgenfunction(interceptor) or inspect.iscoroutinefunction(interceptor):
            name = getattr(interceptor, "__qualname__", interceptor)
            raise TypeError(
                f"{name} returns no async context: decorate it with "
                "contextlib.asynccontextmanager, and have it yield once; see echo.rpc.interceptors"
            )
    return taken


def intercepted(method: Method, interceptors: Sequence[ServerInterceptor]) -> Method:
    """For the dispatcher: wrap a method in these contexts, the first one outermost."""

    async def within(stream: "ServerStream[Any, Any]") -> None:
        async with AsyncExitStack() as contexts:
            for interceptor in interceptors:
                await contexts.enter_async_context(interceptor(stream))
            await method(stream)

    return within
