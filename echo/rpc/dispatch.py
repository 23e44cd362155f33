"""From a call to its handler, and from whatever the handler did to the call's status.

This is the one place where an exception becomes a status. Being cancelled is none: it passes, and the session tells
the client why. `SystemExit`, `KeyboardInterrupt` and the like pass as well: they are meant for the whole process.
"""

import logging
import math
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import anyio
from anyio.lowlevel import cancel_shielded_checkpoint
from grpclib.const import Cardinality, Handler
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.attended import Attended, AttendedBy, ServingAttendant
from echo.rpc.events import ServerEvents
from echo.rpc.interceptors import ServerInterceptor, checked, intercepted
from echo.rpc.servable import Servable
from echo.rpc.server_options import ServerOptions
from echo.rpc.server_stream import ServerStream
from echo.transport import Attending, ServerCall
from echo.wire import IDENTITY, GRPCError, ReceivedField, Status, Trailers

log = logging.getLogger(__name__)

INTERNAL: Final = "internal server error"  # All that a client is told of a bug.

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")


class Dispatcher:
    """Serves calls by the handlers of some services. An instance is what a `ServerSession` wants as ``handle``.

    Attributes:
        attending: What it wants as such.
        handlers: The methods, by path.

    Raises:
        ValueError: Attended services have different prefixes.
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
        self._handlers: dict[str, tuple[Handler, bool, ServerOptions]] = {}  # With whether its calls are announced.
        self.handlers: dict[str, Handler] = {}
        self._attended: dict[str, AttendedBy] = {}
        self.attending: Attending | None = None
        self._events = events
        self._options = ServerOptions(codec, details_codec, events)
        for service in services:
            self.add(service)

    def add(self, service: Servable) -> None:
        """Serve another service; its methods take the place of those by the same paths.

        Raises:
            ValueError: It is attended, and has another prefix than others.
            TypeError: It is a class, not an instance of one.
        """
        if isinstance(service, type):
            raise TypeError(f"{service.__name__} is a class: serve an instance of it, such as {service.__name__}()")
        if isinstance(service, Attended):
            self._attended |= dict.fromkeys(service.__mapping__(), service.attend)
            if self.attending is not None and self.attending.prefix != service.prefix:
                raise ValueError("attended services of a server have one prefix")
            self.attending = Attending(service.prefix, self._attend)
            service = service.service
        codec: CodecBase | None = getattr(service, "codec", None)
        options = self._options if codec is None else replace(self._options, codec=codec)
        generated = _close_generators_of(service)
        for path, handler in service.__mapping__().items():
            announced = generated and handler.cardinality is not Cardinality.UNARY_UNARY
            self._handlers[path] = handler, announced, options
            self.handlers[path] = handler

    @property
    def methods(self) -> Sequence[str]:
        """The paths of the methods there are."""
        return tuple(self._handlers)

    def _attend(self, call: ServerCall, fields: Sequence[ReceivedField]) -> ServingAttendant | None:
        attend = self._attended.get(call.request.path)
        return None if attend is None else attend(call, fields)

    async def __call__(self, call: ServerCall) -> None:
        """Serve one call to its end.

        Raises only cancellation, and what a handler raises that is not an `Exception`, such as `SystemExit`: the call
        then ends with INTERNAL.
        """
        path = call.request.path
        found = self._handlers.get(path)
        if found is None:
            await call.finish(Trailers(Status.UNIMPLEMENTED, f"unknown method {path}"))
            return
        handler, announced, options = found
        if self._compression != IDENTITY:
            call.compress(self._compression)
        stream: ServerStream[object, object] = ServerStream(call, handler, options)
        request = call.request
        try:
            method = handler.func
            if self._events.recv_request:
                event = await self._events.recv_request.dispatch(
                    metadata=stream.metadata,
                    method_func=method,
                    method_name=path,
                    deadline=stream.deadline,
                    content_type=request.content_type,
                    user_agent=request.user_agent,
                    peer=stream.peer,
                )
                stream.metadata, method = event.metadata, event.method_func
            if self._interceptors:
                method = intercepted(method, self._interceptors)
            attendant = call.attendant
            if attendant is not None:
                assert isinstance(attendant, ServingAttendant)
                handler = Handler(method, handler.cardinality, handler.request_type, handler.reply_type)
                await attendant.serve(stream, handler, announced=announced)
            else:
                if announced:
                    await stream.announce()
                await method(stream)
            if not stream.ended:
                await stream.send_trailing_metadata()
        except BaseExceptionGroup as group:
            # The nursery of a handler wraps what its tasks raised, being cancelled included.
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
            elif anyio.current_effective_deadline() != -math.inf:
                # Nobody cancelled this call. On asyncio, awaiting a task that was cancelled raises the same exception.
                await self._fail(call, stream, error)
                return
            raise

    async def _break_off(self, call: ServerCall, errors: BaseException | None) -> None:
        """The handler raised something meant for the whole process, such as `SystemExit`: tell the client first."""
        if errors is not None:
            self._log_bugs(call, errors)
        call.abort(Trailers(Status.INTERNAL, INTERNAL))
        await cancel_shielded_checkpoint()  # Let the writer run before the connection is torn down.

    def _log_bugs(self, call: ServerCall, error: BaseException) -> bool:
        """Log what a handler does not raise on purpose; tell whether there was any."""
        found = any(not isinstance(leaf, GRPCError | StreamTerminatedError) for leaf in _leaves(error))
        if found:
            log.error("%s failed", call.request.path, exc_info=error)
            call.fate = call.fate or "failed"
        return found

    async def _fail(self, call: ServerCall, stream: ServerStream[object, object], error: BaseException) -> None:
        # The client is told what the handler says of itself, and nothing of a bug.
        said = next((leaf for leaf in _leaves(error) if isinstance(leaf, GRPCError)), None)
        if self._log_bugs(call, error) or said is None:
            said = GRPCError(Status.INTERNAL, INTERNAL)
        if stream.ended:
            # The handler had ended the call already. If that has not reached the client yet, it is overruled.
            call.abort(Trailers(said.status, said.message))
            return
        try:
            await stream.send_trailing_metadata(
                status=said.status, status_message=said.message, status_details=said.details
            )
        except StreamTerminatedError:
            log.debug("%s: the client was gone before it could be told %s", call.request.path, said.status.name)


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
    """Have betterproto's server-streaming handlers closed when their call ends; tell whether they are betterproto's.

    A method of such a service is given nothing by which it could send initial metadata, so that its calls can be
    announced to the client as soon as they come. (A unary call is answered soon enough.)

    betterproto iterates a handler's generator and leaves it to the garbage collector when the call is cut short; its
    ``finally`` blocks would then run whenever, in no nursery. The method that iterates is looked up on the instance.

    It is a protected method of betterproto's base class, overridden here because there is no good public way. Wrapping
    the service's own methods would do, but they are given nothing of the call except its message: finding a call's
    generator again would take a context variable per call, and betterproto's loop would still keep the last reply of
    every idle stream alive.
    """
    if not hasattr(service, "_call_rpc_handler_server_stream"):
        return False
    vars(service)["_call_rpc_handler_server_stream"] = _send_replies
    return True


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
