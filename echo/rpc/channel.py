"""The client: a channel to a server, or to several that are alike, which connects when a call needs it."""

import math
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import anyio
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.metadata import Deadline as GrpclibDeadline
from multidict import MultiDict

from echo.rpc.balancer import LOOKUP_INTERVAL, Balancer
from echo.rpc.call_credentials import CallCredentials
from echo.rpc.call_notes import CallNotes
from echo.rpc.client_stream import ClientStream
from echo.rpc.codec import DEFAULT_CODEC
from echo.rpc.connectivity import ChannelState
from echo.rpc.deadline import earliest
from echo.rpc.dial import Dial
from echo.rpc.events import ChannelEvents
from echo.rpc.interceptors import ClientInterceptor
from echo.rpc.opening import Opening
from echo.rpc.policies import POLICIES, Balance
from echo.rpc.resolve import Endpoint, Resolve, Resolver
from echo.rpc.retry_policy import Throttle
from echo.rpc.service_config import ServiceConfig
from echo.rpc.subchannel import Connecting
from echo.rpc.tracing import ChannelTracing
from echo.rpc.unbound import refuse_unbound
from echo.targets import parse_targets
from echo.transport import ClientCall, ClientSession, Keepalive, Tally, open_background
from echo.wire import GRPCError, Limits, MetadataLike, Request, Status, known_encoding

if TYPE_CHECKING:
    from grpclib.client import Channel as GrpclibChannel

    from echo.rpc.grpcio_style import StreamStream, StreamUnary, UnaryStream, UnaryUnary

else:
    GrpclibChannel = object  # Generated stubs say that they take grpclib's; to a type checker, ours is one.

Function = Callable[[Any], Any]
SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")


class ChannelOptions(TypedDict, total=False):
    """What every way to open a channel takes.

    Attributes:
        balance: ``pick_first``, the default: all calls go to the first address that answers. ``round_robin``: they go
            to all that can be reached, in turn.
        wait_for_ready: Whether calls wait for a connection, as long as their deadline allows, rather than fail when
            there is none to be had; for calls that do not say so themselves.
        health_service: Watch the health of this service ("" for the server as a whole) on each connection, and send no
            calls to a server that says it does not serve; a server without health service does. None, the default,
            for not watching. Only with ``round_robin``.
        compression: How to compress messages, ``gzip`` or None; for calls that do not say so themselves. It is done in
            the event loop's own thread, and takes some 25 ms for a megabyte.
        codec: Messages to bytes and back; by default whatever has ``SerializeToString`` and ``FromString``.
        status_details_codec: For `GRPCError.details`, which are bytes otherwise.
        limits: What a connection may occupy.
        keepalive: When to ask a silent server whether it is still there; None for never.
        connect_timeout: Seconds a connection may take to be ready for calls, 20 by default; so may a name's look-up.
        interceptors: Contexts that every call is made within, the outermost first; see `echo.rpc.interceptors`.
        tracing: Records the calls as traces, and tells the servers of them; None for no traces.
        notes: Who takes note of calls; None, the default, for nobody, at no cost.
        service_config: Timeouts, retries and more for the calls of each method: gRPC's service config, as JSON text or
            as a dictionary; see `echo.rpc.service_config`.
        lookup_interval: Seconds between two look-ups of a name, at least; 30 by default.
        call_credentials: Gives metadata for each call, such as a token; see `echo.rpc.call_credentials`.
        plaintext_credentials: Whether they may be sent without TLS, where anybody on the way can read them.
    """

    balance: Balance
    wait_for_ready: bool
    health_service: str | None
    compression: str | None
    codec: CodecBase | None
    status_details_codec: StatusDetailsCodecBase | None
    limits: Limits
    keepalive: Keepalive | None
    connect_timeout: float
    interceptors: Sequence[ClientInterceptor]
    tracing: ChannelTracing | None
    notes: CallNotes | None
    service_config: str | Mapping[str, object] | None
    lookup_interval: float
    call_credentials: CallCredentials | None
    plaintext_credentials: bool


class Channel(GrpclibChannel):
    """Calls to a server, or to several that are alike; made by `open_channel` and its siblings.

    ``grpclib.events.listen(channel, SendRequest, callback)`` and its siblings work on it, and betterproto's stubs take
    it as theirs.

    Attributes:
        target: What it calls, for people.
        scheme: ``http`` or ``https``.
        authority: What it takes the server's name to be, where its address does not say so.
        events: The listeners to its events.
        interceptors: What every call is made within.
        tracing: Who records its calls, if anybody does.
        notes: Who takes note of its calls.
        throttle: Stops retries when too many calls fail; None for never.
    """

    def __init__(
        self, target: str, authority: str, balancer: Balancer, common: Connecting, options: ChannelOptions
    ) -> None:
        self.events = ChannelEvents()
        self.__dispatch__ = self.events  # type: ignore[assignment]  # grpclib's `listen` asks for no more than it has.
        self.target = target
        self.scheme = common.scheme
        self.authority = authority
        self.tracing = options.get("tracing")
        self.notes = options.get("notes")
        self._balancer = balancer
        self._nursery = common.nursery
        self._changed = common.changed
        self._sessions = common.sessions
        self._watches = common.watches
        self._codec = options.get("codec") or DEFAULT_CODEC
        self._details_codec = options.get("status_details_codec")
        self._compression = known_encoding(options.get("compression"))
        self._wait_for_ready = options.get("wait_for_ready", False)
        self.interceptors = tuple(options.get("interceptors", ()))
        config = options.get("service_config")
        self._service_config = None if config is None else ServiceConfig.parse(config)
        throttling = None if self._service_config is None else self._service_config.throttling
        self.throttle = None if throttling is None else Throttle(throttling)
        self._may_send_credentials = self.scheme == "https" or options.get("plaintext_credentials", False)
        self._credentials = self._checked(options.get("call_credentials"))

    @property
    def calls(self) -> int:
        """Calls that are open."""
        return sum(session.calls for session in self._sessions) - len(self._watches)

    @property
    def connections(self) -> int:
        """Connections that are open: those that take new calls, and others that are being finished."""
        return len(self._sessions)

    @property
    def state(self) -> ChannelState:
        """Whether calls would find a connection; looking at it does not make one."""
        return self._balancer.state

    async def wait_for_state_change(self, last: ChannelState) -> ChannelState:
        """Wait until the state is another than ``last``, and return it. States that soon pass may be missed."""
        while self.state is last:
            await self._changed.wait()
        return self.state

    async def states(self) -> AsyncIterator[ChannelState]:
        """The state now, then each that it changes to; ends after SHUTDOWN. States that soon pass may be missed."""
        state = self.state
        yield state
        while state is not ChannelState.SHUTDOWN:
            state = await self.wait_for_state_change(state)
            yield state

    async def connect(self, *, wait_for_ready: bool = True) -> None:
        """Connect without a call, and wait until the channel is READY.

        Args:
            wait_for_ready: Try again and again, however long it takes, rather than fail once every address has failed.

        Raises:
            GRPCError: UNAVAILABLE: it cannot connect, or is closed.
        """
        await self._balancer.wait(for_ready=wait_for_ready)

    def request(  # type: ignore[override]  # Alike in what generated stubs make of it.
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
            request_type: What is sent.
            reply_type: What is received.
            timeout: Seconds the whole call may take, counted from now.
            deadline: The same as a point in time; the earlier one counts.
            metadata: To send along.
            wait_for_ready: Whether to wait for a connection, until the deadline, rather than to fail when there is none
                to be had; None for what the channel was opened with.
            compression: How to compress the messages that are sent, ``gzip`` or ``identity``; None for what the channel
                was opened with.
            codec: Makes this call's messages; None for what the channel was opened with.
            credentials: Gives further metadata, besides those that the channel was opened with.

        Raises:
            ValueError: The compression is unknown, or the credentials would be sent in plain text.
            RuntimeError: A betterproto stub that was not bound makes a bidirectional call, which would hang on trio.
        """
        if cardinality is Cardinality.STREAM_STREAM:
            refuse_unbound(name)
        due = earliest(timeout, deadline)
        config = None if self._service_config is None else self._service_config.of(name)
        if config is not None:
            if config.timeout != math.inf:
                due = min(due, anyio.current_time() + config.timeout)
            if wait_for_ready is None:
                wait_for_ready = config.wait_for_ready
        opening = Opening(
            self,
            name,
            MultiDict(metadata or ()),
            due,
            self._compression if compression is None else known_encoding(compression),
            self._wait_for_ready if wait_for_ready is None else wait_for_ready,
            config,
            self._credentials if credentials is None else (*self._credentials, *self._checked(credentials)),
            streaming=cardinality is not Cardinality.UNARY_UNARY,
        )
        return ClientStream(opening, cardinality, request_type, reply_type, codec or self._codec, self._details_codec)

    def _checked(self, credentials: CallCredentials | None) -> tuple[CallCredentials, ...]:
        """The credentials, if they may be sent."""
        if credentials is None:
            return ()
        if not self._may_send_credentials:
            raise ValueError(
                "call credentials would be sent in plain text: use TLS, or allow it by plaintext_credentials=True"
            )
        return (credentials,)

    # For the stubs that are generated for grpcio

    def unary_unary(
        self,
        method: str,
        request_serializer: Function | None = None,
        response_deserializer: Function | None = None,
        _registered_method: bool | None = None,
    ) -> "UnaryUnary":
        """What ``grpc.aio.Channel.unary_unary`` gives: calls of a method with one request and one reply.

        Args:
            method: ``/package.Service/Method``.
            request_serializer: A request to bytes; None for requests that are bytes.
            response_deserializer: Bytes to a reply; None for bytes.

        Calls run in tasks of the channel's. Needs the package grpcio.
        """
        from echo.rpc.grpcio_style import UnaryUnary  # noqa: PLC0415 - Only its users have grpcio.

        return UnaryUnary(self, self._nursery, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        request_serializer: Function | None = None,
        response_deserializer: Function | None = None,
        _registered_method: bool | None = None,
    ) -> "UnaryStream":
        """As `unary_unary`, for one request and many replies."""
        from echo.rpc.grpcio_style import UnaryStream  # noqa: PLC0415

        return UnaryStream(self, self._nursery, method, request_serializer, response_deserializer)

    def stream_unary(
        self,
        method: str,
        request_serializer: Function | None = None,
        response_deserializer: Function | None = None,
        _registered_method: bool | None = None,
    ) -> "StreamUnary":
        """As `unary_unary`, for many requests and one reply."""
        from echo.rpc.grpcio_style import StreamUnary  # noqa: PLC0415

        return StreamUnary(self, self._nursery, method, request_serializer, response_deserializer)

    def stream_stream(
        self,
        method: str,
        request_serializer: Function | None = None,
        response_deserializer: Function | None = None,
        _registered_method: bool | None = None,
    ) -> "StreamStream":
        """As `unary_unary`, for many requests and many replies."""
        from echo.rpc.grpcio_style import StreamStream  # noqa: PLC0415

        return StreamStream(self, self._nursery, method, request_serializer, response_deserializer)

    async def open_call(
        self,
        request: Request,
        deadline: float,
        *,
        wait_for_ready: bool = False,
        refused: ClientCall | None = None,
        avoided: Collection[ClientSession] = (),
    ) -> ClientCall:
        """For `ClientStream`: open a call on a connection that takes it.

        Args:
            request: Its head.
            deadline: On the event loop's clock.
            wait_for_ready: Whether to wait for a connection rather than to fail.
            refused: The same call, made before, which a server has refused: another server is preferred.
            avoided: Connections to other servers that are not preferred either.

        Raises:
            GRPCError: UNAVAILABLE or DEADLINE_EXCEEDED.
        """
        if refused is not None:
            avoided = (*avoided, refused.session)
        balancer = self._balancer
        while True:
            chosen = balancer.choose(avoided)
            if chosen is None:
                with anyio.CancelScope(deadline=deadline) as scope:
                    chosen = await balancer.wait(for_ready=wait_for_ready, avoided=avoided)
                if chosen is None or scope.cancelled_caught:
                    why = f" ({balancer.failure})" if balancer.failure else ""
                    raise GRPCError(Status.DEADLINE_EXCEEDED, f"the deadline passed{why}")
            session = chosen.session
            assert session is not None  # Or it would not have been ready.
            if chosen.endpoint.authority != request.authority:
                request = replace(request, authority=chosen.endpoint.authority)
            call = await session.open(request, deadline)
            if call is not None:
                return call

    def close(self) -> None:
        """End every connection; open calls end with UNAVAILABLE. Never waits; what opened the channel does."""
        self._balancer.close()
        for session in self._sessions:
            session.stop("the channel was closed")


@asynccontextmanager
async def open_channel_to(
    resolve: Resolve,
    target: str,
    *,
    scheme: str = "http",
    authority: str | None = None,
    **options: Unpack[ChannelOptions],
) -> AsyncIterator[Channel]:
    """`open_channel` to addresses found in a way of one's own.

    Args:
        resolve: Finds them when the first call needs a connection, and again when one is to be replaced.
        target: What the channel calls, for people.
        scheme: ``http`` or ``https``.
        authority: What the servers' name is taken to be, if not ``target``.
        options: `ChannelOptions`.

    Raises:
        ValueError: An option has a value that there is not.
    """
    balance = options.get("balance", "pick_first")
    if balance not in POLICIES:
        raise ValueError(f"balance is {balance!r}, not one of {', '.join(POLICIES)}")
    policy = POLICIES[balance]()
    health_service = options.get("health_service")
    if health_service is not None and not policy.spreads:
        raise ValueError("health is watched only with round_robin")
    async with open_background() as nursery:
        notes = options.get("notes")
        common = Connecting(
            nursery,
            scheme,
            options.get("limits", Limits()),
            options.get("keepalive"),
            options.get("connect_timeout", 20.0),
            health_service,
            tally=Tally() if notes is None else notes.tally,
        )
        interval = options.get("lookup_interval", LOOKUP_INTERVAL)
        balancer = Balancer(target, resolve, policy, common, interval)
        channel = Channel(target, authority or target, balancer, common, options)
        try:
            yield channel
        finally:
            channel.close()


@asynccontextmanager
async def open_channel_over(
    dial: Dial, target: str, *, scheme: str = "http", authority: str | None = None, **options: Unpack[ChannelOptions]
) -> AsyncIterator[Channel]:
    """`open_channel` over any byte stream; ``dial`` opens one whenever a connection is needed.

    The server's name in requests is ``authority``, or else ``target``.
    """
    endpoints = [Endpoint(target, authority or target, dial)]

    async def resolve() -> Sequence[Endpoint]:
        return endpoints

    async with open_channel_to(resolve, target, scheme=scheme, authority=authority, **options) as channel:
        yield channel


@asynccontextmanager
async def open_channel(
    host: str | Sequence[str] = "localhost",
    port: int = 8081,
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    authority: str | None = None,
    **options: Unpack[ChannelOptions],
) -> AsyncIterator[Channel]:
    """A channel to ``host:port`` for the length of the block. It connects when the first call needs it.

    Args:
        host: Where the server is: ``HOST``, ``HOST:PORT``, or one of gRPC's forms (``dns:``, ``ipv4:``, ``ipv6:``,
            ``unix:``, see `echo.targets`). Several servers that are alike may be given, as a sequence or separated by
            commas.
        port: The port of those without one of their own.
        tls: Calls over TLS; its ALPN protocols should be ``["h2"]``.
        server_hostname: The name the server's certificate must have; by default the authority's host, or the target's.
        authority: What requests name the server, ``HOST`` or ``HOST:PORT`` (``:authority``); by default the target.
            With it, an ingress is called at one address and asked for another.
        options: `ChannelOptions`: ``balance``, ``wait_for_ready``, ``health_service``, ``compression``, ``codec``,
            ``status_details_codec``, ``limits``, ``keepalive``, ``connect_timeout``, ``interceptors``, ``notes``,
            ``tracing``, ``service_config``, ``lookup_interval``, ``call_credentials``, ``plaintext_credentials``.

    Raises:
        ValueError: A host, the authority or an option has an invalid value.

    A name may stand for several addresses. It is looked up when the channel connects, and again when a connection is
    to be replaced, but not before ``lookup_interval`` has passed. Each address that fails is left alone for a while,
    from 0.05 s after the first failure up to 2 s.

    Leaving the block, also by an exception or cancelled, ends the calls that are still open and closes the connections.
    """
    targets = parse_targets(host, port)
    async with open_channel_to(
        Resolver(targets, tls, server_hostname, authority),
        ",".join(map(str, targets)),
        scheme="http" if tls is None else "https",
        authority=authority or targets[0].authority,
        **options,
    ) as channel:
        yield channel
