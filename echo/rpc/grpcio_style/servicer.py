"""Serves grpcio's method handlers."""

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio
import grpc
from anyio import to_thread
from grpclib.const import Cardinality, Handler

from echo.rpc.grpcio_style.blocking import iterated
from echo.rpc.grpcio_style.call_threads import CallOverError, CallThreads
from echo.rpc.grpcio_style.context import BlockingContext, Context
from echo.rpc.grpcio_style.conversion import CODEC, Converter
from echo.rpc.server_stream import ServerStream
from echo.transport import open_background

log = logging.getLogger(__name__)

Method = Callable[..., Any]
Serve = Callable[[Method, Any, Context], Awaitable[Any]]

_KINDS: Final = {
    (False, False): (Cardinality.UNARY_UNARY, "unary_unary"),
    (False, True): (Cardinality.UNARY_STREAM, "unary_stream"),
    (True, False): (Cardinality.STREAM_UNARY, "stream_unary"),
    (True, True): (Cardinality.STREAM_STREAM, "stream_stream"),
}


class Servicer:
    """A service made of the handlers that ``add_XServicer_to_server`` registers.

    Args:
        handlers: By path, as ``grpc.unary_unary_rpc_method_handler`` and the like create them.

    Methods are coroutine functions, async generator functions, or plain functions, which run in worker threads (at most
    as many at once as anyio's default limiter allows). A cancelled call waits for its plain function to return.

    Attributes:
        codec: Encodes and decodes messages with the handlers' own functions.
    """

    codec = CODEC

    def __init__(self, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        self._handlers = {path: to_handler(handler) for path, handler in handlers.items()}

    def __mapping__(self) -> Mapping[str, Handler]:
        return self._handlers


def to_handler(handler: grpc.RpcMethodHandler) -> Handler:
    """Convert grpcio's handler to grpclib's."""
    kind, attribute = _KINDS[bool(handler.request_streaming), bool(handler.response_streaming)]
    method: Method = getattr(handler, attribute)
    if inspect.isasyncgenfunction(method):
        serve = _serve_generator
    elif inspect.iscoroutinefunction(method):
        serve = _serve_coroutine
    else:
        serve = _serve_blocking
    return Handler(
        partial(_serve, serve, method, kind),
        kind,
        Converter(handler.request_deserializer),
        Converter(handler.response_serializer),
    )


async def _serve(serve: Serve, method: Method, kind: Cardinality, stream: ServerStream[Any, Any]) -> None:
    """Serve one call, and end it with the status that the method set or aborted with, else with OK."""
    context, cancelled = Context(stream), False
    try:
        request = stream if kind.client_streaming else await stream.recv_message()
        try:
            reply = await serve(method, request, context)
            if not kind.server_streaming and not context.failed:
                await context.write(reply)
        except grpc.aio.AbortError:
            pass
        except Exception as error:
            if not context.failed:
                context.fail()
                raise
            if not _is_meant(error):
                log.exception("a method failed after it had set a status")
        await context.end()
    except anyio.get_cancelled_exc_class():
        cancelled = True
        raise
    finally:
        context.finish(cancelled=cancelled)


def _is_meant(error: Exception) -> bool:
    """Whether a method raises this after it has set a status: generated base classes do, and `Context.abort`.

    The nursery of a method that aborts its call raises a group of it.
    """
    if isinstance(error, ExceptionGroup):
        return all(_is_meant(inner) for inner in error.exceptions)
    return isinstance(error, NotImplementedError | grpc.aio.AbortError)


async def _serve_coroutine(method: Method, request: Any, context: Context) -> Any:
    return await method(request, context)


async def _serve_generator(method: Method, request: Any, context: Context) -> None:
    async with aclosing(method(request, context)) as replies:
        async for reply in replies:
            await context.write(reply)
            del reply  # Otherwise an idle stream would keep its last one.


async def _serve_blocking(method: Method, request: Any, context: Context) -> Any:
    """Run a blocking method in a worker thread, and wait for the thread even if the call is cancelled."""
    threads = CallThreads()
    context.add_done_callback(lambda _: threads.end())
    if isinstance(request, ServerStream):
        request = _blocking_requests(request, context, threads)
    async with _callbacks_on_cancel(context):
        reply = await to_thread.run_sync(method, request, BlockingContext(context, threads))
        if isinstance(reply, Iterator):
            async with aclosing(iterated(reply)) as messages:
                async for message in messages:
                    await context.write(message)
                    del message
            return None
    return reply


@asynccontextmanager
async def _callbacks_on_cancel(context: Context) -> AsyncIterator[None]:
    """Call the done callbacks as soon as the call is cancelled in the block: they may be what stops its thread."""
    returned = False

    async def tell() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            if not returned:
                context.finish(cancelled=True)

    async with open_background() as tasks:
        tasks.start_soon(tell)
        try:
            yield
        finally:
            returned = True
        tasks.cancel_scope.cancel()


def _blocking_requests(stream: ServerStream[Any, Any], context: Context, threads: CallThreads) -> Iterator[Any]:
    """The requests; once the call is over, they end, or raise ``grpc.RpcError`` if it was cancelled."""
    try:
        while (request := threads.run(stream.recv_message)) is not None:
            yield request
    except CallOverError:
        if context.cancelled():
            raise grpc.RpcError("the call was cancelled") from None
