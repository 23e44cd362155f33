"""The callables that a stub has for its methods; each makes calls of one kind."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, Unpack, cast

import grpc
from anyio.abc import TaskGroup
from grpclib.const import Cardinality

from echo.rpc.client_stream import ClientStream
from echo.rpc.deadline import earliest
from echo.rpc.grpcio_style import blocking
from echo.rpc.grpcio_style.call import tasks_for_calls
from echo.rpc.grpcio_style.calls import StreamStreamCall, StreamUnaryCall, UnaryStreamCall, UnaryUnaryCall
from echo.rpc.grpcio_style.conversion import CODEC, Converter, Function, to_encoding, to_pairs
from echo.rpc.grpcio_style.credentials import to_call_credentials
from echo.rpc.sender import Messages
from echo.rpc.subchannel import Connecting
from echo.rpc.unsupported import refuse_unknown, refusing

if TYPE_CHECKING:
    from echo.rpc.channel import Channel


CallT = TypeVar("CallT")

# Further methods of grpcio's blocking stubs.
_BLOCKING: Final = {
    "future": "every call is one: 'call = stub.Method(request)', then 'await call'",
    "with_call": "'call = stub.Method(request)' has more than the reply, such as 'await call.trailing_metadata()'",
}


class CallOptions(TypedDict, total=False):
    """The options of every method of a stub.

    Attributes:
        timeout: Seconds that the call may take.
        metadata: The request's metadata.
        credentials: ``grpc.CallCredentials`` or `echo.rpc.CallCredentials`. Anything else is a ``UsageError``, and so
            are credentials on a channel that may not send any.
        wait_for_ready: Whether to wait for a connection instead of failing; None for the channel's setting.
        compression: How requests are compressed; None for the channel's setting.
    """

    timeout: float | None
    metadata: Iterable[tuple[str, str | bytes]] | None
    credentials: object
    wait_for_ready: bool | None
    compression: object


class _Callable:
    """One method of a service.

    Args:
        channel: The channel.
        common: Runs the calls' tasks.
        method: ``/package.Service/Method``.
        serializer: Encodes a request; None for requests that are bytes.
        deserializer: Decodes a reply; None for bytes.
    """

    kind: Cardinality

    if not TYPE_CHECKING:  # A type checker is to know that they are missing.
        __getattr__ = refusing("a method of a stub", _BLOCKING)

    def __init__(
        self,
        channel: "Channel",
        common: Connecting,
        method: str,
        serializer: Function | None,
        deserializer: Function | None,
    ) -> None:
        self._channel = channel
        self._tasks = tasks_for_calls(common)
        self._method = method
        self._request, self._reply = Converter(serializer), Converter(deserializer)

    def _begin(self, kind: Callable[..., CallT], argument: Any, options: CallOptions) -> CallT:
        """Begin a call. In another thread than the event loop's, wait and return the reply or the replies instead."""
        if self._channel.loop.here:
            if self._channel.balancer.closed:
                raise grpc.aio.UsageError(blocking.CLOSED)
            return kind(*self._prepare(options), argument)
        if self.kind.client_streaming:
            argument = blocking.iterated(argument, abandon=True)
        begin = partial(self._begin, kind, argument, options)
        answered: Any = blocking.Replies if self.kind.server_streaming else blocking.reply
        return cast("CallT", answered(self._channel.threads, begin))

    def _prepare(self, options: CallOptions) -> tuple[ClientStream[Any, Any], TaskGroup, float]:
        refuse_unknown(options, CallOptions, self._method)
        credentials = options.get("credentials")
        compression = options.get("compression")
        timeout = options.get("timeout")
        try:
            stream: ClientStream[Any, Any] = self._channel.request(
                self._method,
                self.kind,
                self._request,  # type: ignore[arg-type]  # The codec takes it in the place of a type,
                self._reply,  # type: ignore[arg-type]  # and this likewise.
                timeout=timeout,
                metadata=to_pairs(options.get("metadata")),
                wait_for_ready=options.get("wait_for_ready"),
                compression=None if compression is None else to_encoding(compression),
                codec=CODEC,
                credentials=None if credentials is None else to_call_credentials(credentials),
            )
        except ValueError as error:  # Credentials in plain text.
            raise grpc.aio.UsageError(str(error)) from error
        return stream, self._tasks, earliest(timeout, None)


@grpc.aio.UnaryUnaryMultiCallable.register
class UnaryUnary(_Callable):
    """One request, one reply: ``reply = await stub.Method(request)``."""

    kind = Cardinality.UNARY_UNARY

    def __call__(self, request: Any, **options: Unpack[CallOptions]) -> UnaryUnaryCall[Any, Any]:
        """Begin a call."""
        return self._begin(UnaryUnaryCall, request, options)


@grpc.aio.UnaryStreamMultiCallable.register
class UnaryStream(_Callable):
    """One request, many replies: ``async for reply in stub.Method(request)``."""

    kind = Cardinality.UNARY_STREAM

    def __call__(self, request: Any, **options: Unpack[CallOptions]) -> UnaryStreamCall[Any, Any]:
        """Begin a call."""
        return self._begin(UnaryStreamCall, request, options)


@grpc.aio.StreamUnaryMultiCallable.register
class StreamUnary(_Callable):
    """Many requests, one reply: ``reply = await stub.Method(requests)``."""

    kind = Cardinality.STREAM_UNARY

    def __call__(
        self, request_iterator: Messages[Any] | None = None, **options: Unpack[CallOptions]
    ) -> StreamUnaryCall[Any, Any]:
        """Begin a call; without an iterator its requests are written."""
        return self._begin(StreamUnaryCall, request_iterator, options)


@grpc.aio.StreamStreamMultiCallable.register
class StreamStream(_Callable):
    """Many requests, many replies: ``async for reply in stub.Method(requests)``."""

    kind = Cardinality.STREAM_STREAM

    def __call__(
        self, request_iterator: Messages[Any] | None = None, **options: Unpack[CallOptions]
    ) -> StreamStreamCall[Any, Any]:
        """Begin a call; without an iterator its requests are written."""
        return self._begin(StreamStreamCall, request_iterator, options)
