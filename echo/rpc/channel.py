"""The client: a channel to a server, or to several equivalent ones, which connects when a call needs it."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import anyio
from anyio.lowlevel import checkpoint
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.metadata import Deadline as GrpclibDeadline
from multidict import MultiDict

from echo.rpc.arguments import check_method, checked_codec
from echo.rpc.balancer import Balancer
from echo.rpc.call_credentials import CallCredentials
from echo.rpc.call_notes import CallNotes
from echo.rpc.channel_options import ChannelOptions
from echo.rpc.client_stream import ClientStream
from echo.rpc.codec import functions
from echo.rpc.connectivity import ChannelState, States
from echo.rpc.deadline import earliest
from echo.rpc.events import ChannelEvents
from echo.rpc.grpcio_channel import GrpcioChannel
from echo.rpc.interceptors import ClientInterceptor, checked
from echo.rpc.method import Method
from echo.rpc.subchannel import Connecting
from echo.rpc.unbound import refuse_unbound
from echo.wire import GRPCError, MetadataLike, Status, known_encoding

if TYPE_CHECKING:
    from grpclib.client import Channel as GrpclibChannel

    from echo.rpc.retry_policy import Throttle
    from echo.rpc.service_config import ServiceConfig
    from echo.rpc.tracing import ChannelTracing
else:
    GrpclibChannel = object  # Generated stubs say that they take grpclib's; to a type checker, ours is one.

MAX_METHODS: Final = 1_024  # How many methods a channel remembers.

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")


class Channel(GrpcioChannel, GrpclibChannel):
    """Makes calls to a server, or to several equivalent ones; opened by `open_channel` and similar functions.

    ``grpclib.events.listen(channel, SendRequest, callback)`` and the like work on it. betterproto's stubs accept it.

    Attributes:
        target: Its target as text.
        scheme: ``http`` or ``https``.
        authority: The servers' name until an endpoint, which has its own, is chosen.
        events: Its event listeners.
        interceptors: The contexts around every call.
        tracing: Records its calls as traces, if set.
        notes: Takes note of its calls, if set.
        loop: The event loop in which it was opened.
        threads: Runs tasks for threads that use it.
        balancer: Chooses the connections of its calls.
        throttle: Suspends retries while too many calls fail; None for never.
        details_codec: Decodes status details, if there is one.
    """

    def __init__(
        self,
        target: str,
        authority: str,
        balancer: Balancer,
        common: Connecting,
        options: ChannelOptions,
        config: "ServiceConfig | None",
    ) -> None:
        super().__init__(common)
        self.events: ChannelEvents = ChannelEvents()
        self.__dispatch__: ChannelEvents = self.events  # type: ignore[assignment]  # It has all that grpclib's `listen` needs.
        self.target: str = target
        self.scheme: str = common.scheme
        self.authority: str = authority
        self.tracing: ChannelTracing | None = options.get("tracing")
        self.notes: CallNotes | None = options.get("notes")
        self.balancer = balancer
        self._changed, self._sessions, self._watches = common.changed, common.sessions, common.watches
        self._codec = checked_codec(options.get("codec"))
        self.details_codec: StatusDetailsCodecBase | None = options.get("status_details_codec")
        self._compression = known_encoding(options.get("compression"))
        self._wait_for_ready = options.get("wait_for_ready", False)
        self.interceptors: tuple[ClientInterceptor, ...] = checked(options.get("interceptors", ()))
        self._service_config = config
        self.throttle: Throttle | None = _throttle(config)
        self._may_send_credentials = self.scheme == "https" or options.get("plaintext_credentials", False)
        self._credentials = self._checked(options.get("call_credentials"))
        self._methods: dict[str, Method] = {}

    @property
    def calls(self) -> int:
        """How many calls are open."""
        return sum(session.calls for session in self._sessions) - len(self._watches)

    @property
    def connections(self) -> int:
        """How many connections are open, including those that take no new calls but still have open ones."""
        return len(self._sessions)

    @property
    def state(self) -> ChannelState:
        """The connectivity state. Reading it does not make the channel connect."""
        return self.balancer.state

    async def wait_for_state_change(self, last_observed_state: Enum) -> ChannelState:
        """Wait until the state differs from this one, and return it. Brief states may be missed.

        Args:
            last_observed_state: A `ChannelState`, or a ``grpc.ChannelConnectivity``.

        Raises:
            GRPCError: UNAVAILABLE: The state is SHUTDOWN, which lasts.
        """
        while self.state.name == last_observed_state.name:
            if self.state is ChannelState.SHUTDOWN:
                raise GRPCError(Status.UNAVAILABLE, "the channel is closed")
            await self._changed.wait()
        return self.state

    def states(self) -> AsyncIterator[ChannelState]:
        """The current state, then each new one; ends after SHUTDOWN. Brief states may be missed."""
        return States(lambda: self.state, self.wait_for_state_change)

    async def connect(self, *, wait_for_ready: bool = True) -> None:
        """Connect without a call, and wait until the channel is READY.

        Args:
            wait_for_ready: Whether to keep trying instead of failing once every address has failed.

        Raises:
            GRPCError: UNAVAILABLE: it cannot connect, or is closed.
        """
        await self.balancer.wait(for_ready=wait_for_ready)

    def request(  # type: ignore[override]  # Compatible as far as generated stubs use it.
        self,
        name: str,
        cardinality: Cardinality,
        request_type: type[SendT],
        reply_type: type[RecvT],
        *,
        timeout: float | None = None,
        deadline: GrpclibDeadline | None = None,
        metadata: MetadataLike | None = None,
        wait_for_ready: bool | None = None,
        compression: str | None = None,
        codec: CodecBase | None = None,
        credentials: CallCredentials | None = None,
    ) -> ClientStream[SendT, RecvT]:
        """Prepare a call: ``async with channel.request(...) as stream``. Nothing is sent yet.

        Args:
            name: ``/package.Service/Method``.
            cardinality: Which sides send more than one message.
            request_type: The class of the messages sent.
            reply_type: The class of the messages received.
            timeout: Seconds the whole call may take, from now on.
            deadline: The same as a point in time. If both are given, the earlier one counts.
            metadata: The request's metadata.
            wait_for_ready: Whether to wait for a connection until the deadline instead of failing when none can be
                made; None for the channel's setting.
            compression: How to compress the messages sent, ``gzip`` or ``identity``; None for the channel's setting.
            codec: Encodes and decodes this call's messages; None for the channel's codec.
            credentials: Call credentials in addition to the channel's.

        Raises:
            ValueError: The timeout is NaN, the name begins with no slash, the compression is unknown, or the
                credentials would be sent in plain text.
            TypeError: Something is of another class than named here.
            RuntimeError: It is called in another thread than the channel's event loop, or an unbound betterproto stub
                makes a bidirectional call, which would hang on trio.
        """
        self.loop.refuse_elsewhere()
        method = self._methods.get(name)
        codec = self._codec if codec is None else codec
        if (
            method is None
            or method.reply_type is not reply_type
            or method.request_type is not request_type
            or method.codec is not codec
            or method.cardinality is not cardinality
        ):
            method = self._method(name, cardinality, request_type, reply_type, codec)
        if cardinality is Cardinality.STREAM_STREAM:
            refuse_unbound(name)
        if wait_for_ready is not None or compression is not None or credentials is not None:
            method = replace(
                method,
                compression=method.compression if compression is None else known_encoding(compression),
                wait_for_ready=method.wait_for_ready if wait_for_ready is None else wait_for_ready,
                credentials=(*method.credentials, *self._checked(credentials)),
            )
        due = math.inf if timeout is None and deadline is None else earliest(timeout, deadline)
        if method.config is not None and method.config.timeout != math.inf:
            due = min(due, anyio.current_time() + method.config.timeout)
        return ClientStream(method, MultiDict(metadata) if metadata else None, due)

    def _method(
        self, name: str, cardinality: Cardinality, request_type: type, reply_type: type, codec: CodecBase
    ) -> Method:
        """Create and remember a `Method`."""
        check_method(name, cardinality)
        config = None if self._service_config is None else self._service_config.of(name)
        waits = self._wait_for_ready if config is None or config.wait_for_ready is None else config.wait_for_ready
        method = Method(
            self,
            name,
            cardinality,
            self._compression,
            waits,
            config,
            self._credentials,
            codec,
            request_type,
            reply_type,
            functions(codec, request_type).encode,
            functions(codec, reply_type).decode,
        )
        if len(self._methods) >= MAX_METHODS:
            self._methods.clear()  # Names may come from untrusted input, so their number must be bounded.
        self._methods[name] = method
        return method

    def _checked(self, credentials: CallCredentials | None) -> tuple[CallCredentials, ...]:
        """The credentials in a tuple, checked that they may be sent."""
        if credentials is None:
            return ()
        if not self._may_send_credentials:
            raise ValueError(
                "call credentials would be sent in plain text: use TLS, or allow it with plaintext_credentials=True"
            )
        return (credentials,)

    def close(self, grace: float | None = None) -> Awaitable[None]:  # type: ignore[override]  # grpclib's gives None.
        """Take no new calls, and end every connection. Never waits.

        Args:
            grace: Seconds that open calls have to finish; None to end them now, with UNAVAILABLE. The time passes while
                the result is awaited.

        Returns:
            An awaitable that returns when the connections are closed, as with ``grpc.aio``. It need not be awaited: the
            block that opened the channel waits as well.
        """
        self.balancer.close()
        if grace is None:
            self._stop()
        return _Closed(lambda: self._until_closed(grace))

    async def _until_closed(self, grace: float | None) -> None:
        try:
            with anyio.move_on_after(grace):
                while self._sessions:
                    await self._changed.wait()
        finally:
            self._stop()
        await checkpoint()

    def _stop(self) -> None:
        for session in self._sessions:
            session.stop("the channel was closed")

    async def __aenter__(self) -> Self:
        """Return the channel; leaving the block closes it, as with grpclib and grpc.aio."""
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        """Close it, and wait for that unless there is an error, which being cancelled meanwhile would hide."""
        closed = self.close()
        if error is None:
            await closed


class _Closed(Awaitable[None]):
    """The result of `Channel.close`, which may be awaited or not."""

    def __init__(self, wait: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()


def _throttle(config: "ServiceConfig | None") -> "Throttle | None":
    if config is None or config.throttling is None:
        return None
    from echo.rpc.retry_policy import Throttle  # noqa: PLC0415 - As in `echo.rpc.attempts`.

    return Throttle(config.throttling)
