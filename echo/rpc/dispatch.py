"""From a call to its handler, and from whatever the handler did to the call's status.

This is the one place where an exception becomes a status. Being cancelled is none: it passes, and the session tells
the client why.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeVar

import anyio
from grpclib.const import Handler
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.events import _DispatchServerEvents
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.server_stream import ServerStream
from echo.transport.server_call import ServerCall
from echo.wire.compression import IDENTITY
from echo.wire.head import Trailers
from echo.wire.status import GRPCError, Status

log = logging.getLogger(__name__)

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")


class Servable(Protocol):
    """A service: betterproto's ``ServiceBase`` subclasses, grpclib's generated bases, anything alike."""

    def __mapping__(self) -> Mapping[str, Handler]:
        """Its methods by path, ``/package.Service/Method``."""


class Dispatcher:
    """Serves calls by the handlers of some services. An instance is what a `ServerSession` wants as ``handle``."""

    def __init__(
        self,
        services: Iterable[Servable],
        codec: CodecBase,
        details_codec: StatusDetailsCodecBase | None,
        events: _DispatchServerEvents,
        compression: str = IDENTITY,
    ) -> None:
        self._compression = compression
        self._handlers: dict[str, Handler] = {}
        self._codec = codec
        self._details_codec = details_codec
        self._events = events
        for service in services:
            _close_generators_of(service)
            self._handlers.update(service.__mapping__())

    async def __call__(self, call: ServerCall) -> None:
        """Serve one call to its end. Raises nothing but being cancelled."""
        path = call.request.path
        handler = self._handlers.get(path)
        if handler is None:
            await call.finish(Trailers(Status.UNIMPLEMENTED, f"unknown method {path}"))
            return
        if self._compression != IDENTITY:
            call.compress(self._compression)
        stream: ServerStream[object, object] = ServerStream(
            call, handler, self._codec, self._details_codec, self._events
        )
        request = call.request
        try:
            stream.metadata, method = await self._events.recv_request(
                stream.metadata,
                handler.func,
                method_name=path,
                deadline=stream.deadline,
                content_type=request.content_type,
                user_agent=request.user_agent,
                peer=call.peer,
            )
            await method(stream)
            if not stream.ended:
                await stream.send_trailing_metadata()
        except BaseExceptionGroup as group:
            # The nursery of a handler wraps what its tasks raised, being cancelled included.
            cancelled, errors = group.split(anyio.get_cancelled_exc_class())
            if errors is not None:
                await self._fail(call, stream, errors)
            if cancelled is not None:
                raise cancelled from None
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the call's outcome
            await self._fail(call, stream, error)

    async def _fail(self, call: ServerCall, stream: ServerStream[object, object], error: BaseException) -> None:
        path = call.request.path
        leaves = list(_leaves(error))
        bugs = [leaf for leaf in leaves if not isinstance(leaf, GRPCError | StreamTerminatedError)]
        if bugs:
            log.error("%s failed", path, exc_info=error)
        # The client is told what the handler says of itself, and nothing of a bug.
        said = next((leaf for leaf in leaves if isinstance(leaf, GRPCError)), None)
        if bugs or said is None:
            said = GRPCError(Status.INTERNAL, "internal server error")
        if stream.ended:
            # The handler had ended the call already. If that has not reached the client yet, it is overruled.
            call.abort(Trailers(said.status, said.message))
            return
        try:
            await stream.send_trailing_metadata(
                status=said.status, status_message=said.message, status_details=said.details
            )
        except StreamTerminatedError:
            log.debug("%s: the client was gone before it could be told %s", path, said.status.name)


def _leaves(error: BaseException) -> Iterable[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _close_generators_of(service: Servable) -> None:
    """Have betterproto's server-streaming handlers closed when their call ends.

    betterproto iterates a handler's generator and leaves it to the garbage collector when the call is cut short; its
    ``finally`` blocks would then run whenever, in no nursery. The method that iterates is looked up on the instance.
    """
    if hasattr(service, "_call_rpc_handler_server_stream"):
        vars(service)["_call_rpc_handler_server_stream"] = _send_replies


async def _send_replies(
    handler: Callable[[RequestT], AsyncIterable[ReplyT] | Awaitable[None]],
    stream: ServerStream[RequestT, ReplyT],
    request: RequestT,
) -> None:
    replies = handler(request)
    if isinstance(replies, AsyncGenerator):
        try:  # As ``aclosing`` does, without its object in every idle stream.
            async for reply in replies:
                await stream.send_message(reply)
                del reply  # Not to be kept by every idle stream.
        finally:
            await replies.aclose()
    elif isinstance(replies, AsyncIterable):
        async for reply in replies:
            await stream.send_message(reply)
    else:
        await replies  # A method without a single yield is a plain coroutine: a stream of no replies.
