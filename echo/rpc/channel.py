"""The client: a channel to one target that connects when a call needs it, and again when the connection is gone."""

import math
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import AddressValueError, IPv6Address
from typing import Final, TypeVar

import anyio
from anyio.abc import ByteStream, TaskGroup
from anyio.streams.tls import TLSStream
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.events import _DispatchChannelEvents
from grpclib.metadata import Deadline as GrpclibDeadline
from multidict import MultiDict

from echo.rpc.client_stream import ClientStream
from echo.rpc.codec import DEFAULT_CODEC
from echo.rpc.deadline import earliest
from echo.transport.background import open_background
from echo.transport.call import ClientCall
from echo.transport.client import ClientSession
from echo.transport.keepalive import Keepalive
from echo.wire.head import Request, Trailers
from echo.wire.limits import Limits
from echo.wire.metadata import MetadataLike
from echo.wire.status import GRPCError, Status

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")

# Seconds between attempts to connect: growing, lest a server that comes back is overrun; varied, lest all its clients
# come at once; and never long, since calls fail meanwhile.
MIN_BACKOFF: Final = 0.05
MAX_BACKOFF: Final = 2.0
BACKOFF_FACTOR: Final = 1.6

Dial = Callable[[], Awaitable[ByteStream]]
"""Opens a stream to the target. Raises OSError if that cannot be done."""


class Channel:
    """Calls to one target, over one connection at a time; made by `open_channel` or `open_channel_over`.

    ``grpclib.events.listen(channel, SendRequest, callback)`` and its siblings work on it, and betterproto's stubs take
    it as theirs.

    Attributes:
        target: What it calls, for people.
        scheme: ``http`` or ``https``.
        authority: What it takes the server's name to be.
    """

    def __init__(
        self,
        dial: Dial,
        nursery: TaskGroup,
        *,
        target: str,
        scheme: str,
        codec: CodecBase | None,
        status_details_codec: StatusDetailsCodecBase | None,
        limits: Limits,
        keepalive: Keepalive | None,
        connect_timeout: float,
    ) -> None:
        self.__dispatch__ = _DispatchChannelEvents()
        self.target = target
        self.scheme = scheme
        self.authority = target
        self._dial = dial
        self._nursery = nursery
        self._codec = codec or DEFAULT_CODEC
        self._details_codec = status_details_codec
        self._limits = limits
        self._keepalive = keepalive
        self._connect_timeout = connect_timeout
        self._connecting = anyio.Lock()
        self._failures = 0
        self._failure = ""
        self._backoff = MIN_BACKOFF
        self._not_before = -math.inf  # Until then calls fail by the last failure, without another attempt.
        self._current: ClientSession | None = None
        self._sessions: set[ClientSession] = set()
        self._closed = False

    @property
    def calls(self) -> int:
        """Calls that are open."""
        return sum(session.calls for session in self._sessions)

    @property
    def connections(self) -> int:
        """Connections that are open: at most one that takes new calls, and others that are being finished."""
        return len(self._sessions)

    def request(
        self,
        name: str,
        cardinality: Cardinality,
        request_type: type[SendT],
        reply_type: type[RecvT],
        *,
        timeout: float | None = None,
        deadline: GrpclibDeadline | None = None,
        metadata: MetadataLike | None = None,
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
        """
        return ClientStream(
            self,
            name,
            MultiDict(metadata or ()),
            cardinality,
            request_type,
            reply_type,
            self._codec,
            earliest(timeout, deadline),
        )

    async def open_call(self, request: Request, deadline: float, *, end: bool = False) -> ClientCall:
        """For `ClientStream`: open a call on a connection that takes it.

        Raises:
            GRPCError: UNAVAILABLE or DEADLINE_EXCEEDED.
        """
        while True:
            with anyio.CancelScope(deadline=deadline) as scope:
                session = await self._connected()
            if scope.cancelled_caught:
                raise GRPCError(Status.DEADLINE_EXCEEDED, "the deadline passed")
            call = await session.open(request, deadline, end=end)
            if call is not None:
                return call

    def decode_details(self, trailers: Trailers) -> object:
        """What came as ``grpc-status-details-bin``: by the codec if there is one, else the bytes."""
        if self._details_codec is None or trailers.details is None:
            return trailers.details
        return self._details_codec.decode(trailers.status, trailers.message, trailers.details)

    async def _connected(self) -> ClientSession:
        """A connection that takes calls. Who waits while another connects shares in the outcome."""
        if self._current is not None and self._current.usable:
            return self._current
        failures = self._failures
        async with self._connecting:
            if self._current is not None and self._current.usable:
                return self._current
            if self._failures != failures or anyio.current_time() < self._not_before:
                raise GRPCError(Status.UNAVAILABLE, self._failure)
            try:
                self._current = await self._connect()
            except OSError as error:
                self._failures += 1
                self._failure = f"cannot connect to {self.target}: {_reason(error)}"
                self._not_before = anyio.current_time() + self._backoff * random.uniform(0.8, 1.2)  # noqa: S311
                self._backoff = min(self._backoff * BACKOFF_FACTOR, MAX_BACKOFF)
                raise GRPCError(Status.UNAVAILABLE, self._failure) from error
            self._backoff = MIN_BACKOFF
            return self._current

    async def _connect(self) -> ClientSession:
        if self._closed:
            raise OSError("the channel is closed")
        last, self._current = self._current, None
        if last is not None and last.pinged_too_often and self._keepalive is not None:
            # The server's policy cannot be known otherwise; gRPC clients find it by doubling.
            self._keepalive = replace(self._keepalive, time=self._keepalive.time * 2)
        try:
            with anyio.fail_after(self._connect_timeout):
                session = ClientSession(await self._dial(), self._limits, self._keepalive)
                self._sessions.add(session)
                self._nursery.start_soon(self._run, session)
                try:
                    await session.ready.wait()
                except BaseException:
                    session.stop("connecting was given up")
                    raise
        except TimeoutError:
            raise OSError(f"no answer within {self._connect_timeout:g} s") from None
        if session.ending:
            raise OSError(session.ending)
        return session

    async def _run(self, session: ClientSession) -> None:
        try:
            await session.run()
        finally:
            self._sessions.discard(session)

    def close(self) -> None:
        """End every connection; open calls end with UNAVAILABLE. Never waits; what opened the channel does."""
        self._closed = True
        for session in self._sessions:
            session.stop("the channel was closed")


def _reason(error: OSError) -> str:
    """The system's own words; anyio's "All connection attempts failed" has their number in its cause."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):  # Its number is none of the system's.
        error = cause
    if error.errno is not None and error.errno > 0:  # Failed name look-ups count downwards, with words of their own.
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


@asynccontextmanager
async def open_channel_over(
    dial: Dial,
    target: str,
    *,
    scheme: str = "http",
    codec: CodecBase | None = None,
    status_details_codec: StatusDetailsCodecBase | None = None,
    limits: Limits = Limits(),
    keepalive: Keepalive | None = None,
    connect_timeout: float = 20.0,
) -> AsyncIterator[Channel]:
    """`open_channel` over any byte stream; ``dial`` opens one whenever a connection is needed."""
    async with open_background() as nursery:
        channel = Channel(
            dial,
            nursery,
            target=target,
            scheme=scheme,
            codec=codec,
            status_details_codec=status_details_codec,
            limits=limits,
            keepalive=keepalive,
            connect_timeout=connect_timeout,
        )
        try:
            yield channel
        finally:
            channel.close()


@asynccontextmanager
async def open_channel(
    host: str = "localhost",
    port: int = 8081,
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    codec: CodecBase | None = None,
    status_details_codec: StatusDetailsCodecBase | None = None,
    limits: Limits = Limits(),
    keepalive: Keepalive | None = None,
    connect_timeout: float = 20.0,
) -> AsyncIterator[Channel]:
    """A channel to ``host:port`` for the length of the block. It connects when the first call needs it.

    Args:
        host: Name or address of the server.
        port: Its port.
        tls: Calls over TLS; its ALPN protocols should be ``["h2"]``.
        server_hostname: The name the server's certificate must have, if not ``host``.
        codec: Messages to bytes and back; by default whatever has ``SerializeToString`` and ``FromString``.
        status_details_codec: For `GRPCError.details`, which are bytes otherwise.
        limits: What the connection may occupy.
        keepalive: When to ask a silent server whether it is still there; None for never.
        connect_timeout: Seconds a connection may take to be ready for calls.

    Leaving the block, also by an exception or cancelled, ends the calls that are still open and closes the connection.
    """

    async def dial() -> ByteStream:
        stream = await anyio.connect_tcp(host, port)
        if tls is None:
            return stream
        try:
            return await TLSStream.wrap(
                stream, hostname=server_hostname or host, ssl_context=tls, standard_compatible=False
            )
        except BaseException as error:
            await anyio.aclose_forcefully(stream)
            if isinstance(error, ssl.SSLError | ssl.CertificateError):
                raise OSError(f"TLS handshake failed: {error}") from error
            if isinstance(error, anyio.BrokenResourceError | anyio.EndOfStream):
                raise OSError(f"TLS handshake failed: {error.__cause__ or 'the connection was closed'}") from error
            raise

    async with open_channel_over(
        dial,
        _target(host, port),
        scheme="http" if tls is None else "https",
        codec=codec,
        status_details_codec=status_details_codec,
        limits=limits,
        keepalive=keepalive,
        connect_timeout=connect_timeout,
    ) as channel:
        yield channel


def _target(host: str, port: int) -> str:
    try:
        return f"[{IPv6Address(host)}]:{port}"
    except AddressValueError:
        return f"{host}:{port}"
