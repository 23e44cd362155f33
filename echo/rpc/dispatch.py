"""Finds the handler of a call, runs it, and turns its result into the call's status.

This is the only place where an exception becomes a status. Cancellation does not: it propagates, and the session tells
the client why. `SystemExit`, `KeyboardInterrupt` and the like propagate too: they are meant for the whole process.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar, cast

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint
from grpclib.const import Cardinality, Handler
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.events import ServerEvents
from echo.rpc.foreign_cancellation import cancelled_with_connection
from echo.rpc.interceptors import Method, ServerInterceptor, checked, intercepted
from echo.rpc.observed_service import ChooseObserver, ObservedService, ServingObserver
from echo.rpc.servable import FindHandler, Servable, listed, methods_of
from echo.rpc.served_method import ServedMethod
from echo.rpc.server_stream import ServerStream
from echo.transport import ServerCall
from echo.wire import IDENTITY, Field, GRPCError, Status, Trailers

log = logging.getLogger(__name__)

INTERNAL: Final = "internal server error"  # All that a client learns about a bug.

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")


class Dispatcher:
    """Serves calls with the handlers of some services. An instance is the ``handle`` of a `ServerSession`.

    Attributes:
        observed_prefix: The prefix of the metadata names that give a call an observer; None if no call gets one.
        handlers: The methods, by path.

    Raises:
        ValueError: Observed services have different prefixes.
    """

    def __init__(
        self,
        services: Iterable[Servable],
        codec: CodecBase,
        details_codec: StatusDetailsCodecBase | None,
        events: ServerEvents,
        compression: str = IDENTITY,
        interceptors: Sequence[ServerInterceptor] = (),
    ) -> None:
        self._interceptors = checked(interceptors)
        self._compression = compression
        self._methods: dict[str, ServedMethod] = {}
        self.handlers: dict[str, Handler] = {}
        self._finders: list[tuple[FindHandler, CodecBase]] = []
        self._observed: dict[str, ChooseObserver] = {}
        self.observed_prefix: str | None = None
        self._events = events
        self._codec = codec
        self._details_codec = details_codec
        for service in listed(services):
            self.add(service)

    def add(self, service: Servable) -> None:
        """Serve another service; its methods replace those with the same paths.

        Raises:
            ValueError: It is observed, and its prefix differs from the other services'.
            TypeError: It is a class, or something that is no service.
        """
        methods = methods_of(service)
        if isinstance(service, ObservedService):
            self._observed |= dict.fromkeys(methods, service.observer_for)
            if self.observed_prefix not in (None, service.prefix):
                raise ValueError("observed services of a server have one prefix")
            self.observed_prefix = service.prefix
            service = service.service
        codec: CodecBase = getattr(service, "codec", None) or self._codec
        generated = _close_generators_of(service)
        for path, handler in methods.items():
            announced = generated and handler.cardinality is not Cardinality.UNARY_UNARY
            self._methods[path] = ServedMethod(
                path, handler, self._intercepted(handler.func), announced, codec, self._details_codec, self._events
            )
            self.handlers[path] = handler

    def add_finder(self, find: FindHandler, codec: CodecBase) -> None:
        """Ask this for the handlers of methods that no service has, and that no finder added before finds."""
        self._finders.append((find, codec))

    @property
    def methods(self) -> Sequence[str]:
        """The paths of all methods."""
        return tuple(self._methods)

    def _intercepted(self, serve: Method) -> Method:
        return intercepted(serve, self._interceptors) if self._interceptors else serve

    def observer_for(self, call: ServerCall, fields: Sequence[Field]) -> ServingObserver | None:
        """The call's observer, if it has one: the ``observer_for`` of a `ServerSession`."""
        if self.observed_prefix is None or not call.request.has_metadata(self.observed_prefix):
            return None
        observer_for = self._observed.get(call.request.path)
        return None if observer_for is None else observer_for(call, fields)

    async def __call__(self, call: ServerCall) -> None:
        """Serve one call to its end.

        Raises only cancellation, and what a handler raises that is not an `Exception`, such as `SystemExit`; the call
        then ends with INTERNAL.
        """
        method = self._methods.get(call.request.path) or self._find(call)
        if isinstance(method, Trailers):
            await call.finish(method)
            return
        if not method.prepared:
            method.prepare()
        if self._compression != IDENTITY:
            call.compress(self._compression)
        stream: ServerStream[object, object] = ServerStream(call, method)
        try:
            if call.observer is not None or self._events.recv_request:
                await self._serve_specially(call, stream, method)
            else:
                if method.announced:
                    await stream.announce()
                await method.serve(stream)
            if not stream.ended and (rest := stream.succeed()) is not None:
                await rest
        except BaseExceptionGroup as group:
            # A handler's nursery wraps what its tasks raise, cancellation included.
            errors, others = group.split(Exception)
            if others is not None and _is_fatal(others):
                await self._break_off(call, errors)
            elif errors is not None:
                await self._fail(call, stream, errors)
            if others is not None:
                raise others from None
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the call's outcome
            await self._fail(call, stream, error)
        except BaseException as error:
            if _is_fatal(error):
                await self._break_off(call, None)
            elif not cancelled_with_connection():
                await self._fail(call, stream, error)
                return
            raise

    def _find(self, call: ServerCall) -> ServedMethod | Trailers:
        """Find a method that no service has, or say how its call ends."""
        path = call.request.path
        try:
            for find, codec in self._finders:
                if (handler := find(call.request)) is not None:
                    serve = self._intercepted(handler.func)
                    return ServedMethod(path, handler, serve, False, codec, self._details_codec, self._events)
        except Exception as error:  # noqa: BLE001 - as for a handler
            self._log_bugs(call, error)
            return Trailers(Status.INTERNAL, INTERNAL)
        return Trailers(Status.UNIMPLEMENTED, f"unknown method {path}")

    async def _serve_specially(
        self, call: ServerCall, stream: ServerStream[object, object], method: ServedMethod
    ) -> None:
        """Serve a call that has an observer, or while someone listens for requests."""
        request, handler, serve = call.request, method.handler, method.serve
        if self._events.recv_request:
            event = await self._events.recv_request.dispatch(
                metadata=stream.metadata,
                method_func=handler.func,
                method_name=method.path,
                deadline=stream.deadline,
                content_type=request.content_type,
                user_agent=request.user_agent,
                peer=stream.peer,
            )
            stream.metadata = event.metadata
            if event.method_func is not handler.func:
                serve = self._intercepted(cast("Method", event.method_func))
        observer = call.observer
        if observer is not None:
            assert isinstance(observer, ServingObserver)
            handler = Handler(serve, handler.cardinality, handler.request_type, handler.reply_type)
            await observer.serve(stream, handler, announced=method.announced)
        else:
            if method.announced:
                await stream.announce()
            await serve(stream)

    async def _break_off(self, call: ServerCall, errors: BaseException | None) -> None:
        """End the call before an exception propagates that is meant for the whole process, such as `SystemExit`."""
        if errors is not None:
            self._log_bugs(call, errors)
        call.abort(Trailers(Status.INTERNAL, INTERNAL))
        await cancel_shielded_checkpoint()  # Let the writer run before the connection is torn down.

    def _log_bugs(self, call: ServerCall, error: BaseException, *, over: bool = True) -> bool:
        """Log exceptions that a handler does not raise on purpose; returns whether there were any.

        If the call is not over, a StreamTerminatedError comes from another call that the handler uses.
        """
        meant = (GRPCError, StreamTerminatedError) if over else GRPCError
        found = any(not isinstance(leaf, meant) for leaf in _leaves(error))
        if found:
            log.error("%s failed", call.request.path, exc_info=error)
            call.end_cause = call.end_cause or "failed"
        return found

    async def _fail(self, call: ServerCall, stream: ServerStream[object, object], error: BaseException) -> None:
        # The client gets the status that the handler raised; of a bug it learns nothing.
        outcome = next((leaf for leaf in _leaves(error) if isinstance(leaf, GRPCError)), None)
        if self._log_bugs(call, error, over=stream.ended or not call.is_open) or outcome is None:
            outcome = GRPCError(Status.INTERNAL, INTERNAL)
        if stream.ended:
            # The handler had already ended the call. If its trailers are still queued, these replace them.
            call.abort(Trailers(outcome.status, outcome.message))
            return
        try:
            await stream.send_trailing_metadata(
                status=outcome.status,
                status_message=outcome.message,
                status_details=outcome.details,
            )
        except StreamTerminatedError:
            log.debug("%s: the client was gone before it could get %s", call.request.path, outcome.status.name)


def _is_fatal(error: BaseException) -> bool:
    """Whether it contains anything but ordinary exceptions and cancellation."""
    of_the_call = (Exception, anyio.get_cancelled_exc_class())
    return any(not isinstance(leaf, of_the_call) for leaf in _leaves(error))


def _leaves(error: BaseException) -> Iterable[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _close_generators_of(service: Servable) -> bool:
    """Close the generators of betterproto's server-streaming handlers when their calls end.

    Returns whether the service is betterproto's. Methods of such a service cannot send initial metadata, so the heads
    of their responses can be sent as soon as the calls arrive. (Unary calls are answered soon enough.)

    betterproto iterates over a handler's generator, and leaves it to the garbage collector if the call is cut short.
    Its ``finally`` blocks would then run at any time, outside any nursery. So this replaces the method that iterates,
    on the instance, where betterproto looks it up.

    It is a protected method of betterproto's base class; there is no good public way. Wrapping the service's methods
    would work, but they get only the call's message: finding a call's generator would take a context variable per call,
    and betterproto's loop would still keep the last reply of every idle stream alive.
    """
    if not hasattr(service, "_call_rpc_handler_server_stream"):
        return False
    vars(service)["_call_rpc_handler_server_stream"] = _send_replies
    return True


async def _send_replies(
    handler: Callable[[RequestT], AsyncIterable[ReplyT] | object],
    stream: ServerStream[RequestT, ReplyT],
    request: RequestT,
) -> None:
    replies = handler(request)
    if isinstance(replies, AsyncGenerator):
        plain = type(stream) is ServerStream  # Interceptors and attendants may pass on a stream of their own.
        try:  # As ``aclosing`` does, without its object in every idle stream.
            async for reply in replies:
                if (rest := stream.send(reply) if plain else stream.send_message(reply)) is not None:
                    await rest
                del reply, rest  # Otherwise every idle stream would keep one.
        finally:
            await replies.aclose()
    elif isinstance(replies, AsyncIterable):
        async for reply in replies:
            await stream.send_message(reply)
    else:  # A method without a single yield is a plain coroutine: a stream of no replies.
        returned = await replies if isinstance(replies, Awaitable) else replies
        if returned is not None:
            raise TypeError(
                "a streaming method yields its replies, as an async generator; "
                f"this one returned a {type(returned).__name__}"
            )
