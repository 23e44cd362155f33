"""The path under test, as checks see it: its ends, and fresh connections and calls over it."""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, Unpack

import trio
from multidict import MultiDict

from echo.probe.budget import Budget
from echo.probe.calls import Answer, Rpc, Script, gather, scripted
from echo.probe.evidence import Address, Record, ask_until, is_over
from echo.probe.http1 import Headers, HttpAnswer, exchange
from echo.probe.http2 import Http2, Stream, open_http2
from echo.probe.line import Line, UnreachableError
from echo.probe.target import Target, TlsFactory
from echo.probe.unserved import Unserved
from echo.probe.websocket import WebSocket, tunnel, upgrade
from echo.rpc import Channel, ChannelOptions, ClientStream, Limits, open_channel_over
from echo.targets import join
from echo.urls import DEFAULT_PORTS
from echo.wire import IDENTITY, Request, encode_message

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")

# A window of 64 KiB would be all that a stream from afar carries in a round trip.
ROOMY = Limits(max_header_list_size=4 * 2**20, max_message_size=64 * 2**20, stream_window=2**20)


class NoGatewayError(Exception):
    """The check needs the gateway's URL, and none was given."""


@dataclass(frozen=True)
class Path:
    """The path, as the command line describes it.

    Attributes:
        target: The near end: an echo server's gRPC port behind the path.
        tls: Makes TLS contexts for the ends that use TLS.
        budget: How much time there is, and how long silent streams should stay open.
        gateway: The gateway's URL through its path; None if none was given.
        direct: Addresses of servers that bypass the path.
        headers: To send with every request.
        authority: The server's name in requests, if not the target's.
        server_name: The name that the server's certificate must be for, if not the host.
        unserved: Watches the connections to the target.
    """

    target: Target
    tls: TlsFactory
    budget: Budget = field(default_factory=Budget.of)
    gateway: Target | None = None
    direct: Sequence[Target] = ()
    headers: Headers = ()
    authority: str | None = None
    server_name: str | None = None
    unserved: Unserved = field(default_factory=Unserved)

    @property
    def hint(self) -> str:
        """What to add to a sentence when the server's records are missing."""
        return "" if self.direct else "; --direct would help"

    # gRPC

    @asynccontextmanager
    async def channel(self, to: Target | None = None, **options: Unpack[ChannelOptions]) -> AsyncIterator[Channel]:
        """A fresh channel with one connection at a time, for the block; through the path, or to one of `direct`.

        Its limits are larger than any server's, so that a call that fails has failed elsewhere.
        """
        options.setdefault("limits", ROOMY)
        options.setdefault("connect_timeout", 5.0)
        where = to or self.target
        line = self._line(where)
        async with open_channel_over(line.dial, self._authority(where), scheme=where.scheme, **options) as channel:
            with self._watching(where).watch(channel):
                yield channel

    def new_call_id(self) -> str:
        """A unique name for a call."""
        return f"probe-{secrets.token_hex(8)}"

    def request(
        self,
        channel: Channel,
        rpc: Rpc[SendT, RecvT],
        script: Script | None = None,
        *,
        call_id: str,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        timeout: float | None = None,
        compression: str | None = None,
    ) -> ClientStream[SendT, RecvT]:
        """Prepare a scripted call: ``async with path.request(...) as stream``."""
        return channel.request(
            rpc.path,
            rpc.cardinality,
            rpc.request_type,
            rpc.reply_type,
            timeout=timeout,
            metadata=MultiDict([*scripted(call_id, script or {}, self.headers), *metadata]),
            compression=compression,
        )

    async def call(
        self,
        channel: Channel,
        rpc: Rpc[SendT, RecvT],
        script: Script | None = None,
        *,
        messages: Sequence[SendT] | None = None,
        interval: float = 0.0,
        call_id: str | None = None,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        timeout: float | None = 10.0,
        compression: str | None = None,
    ) -> Answer[RecvT]:
        """Make a scripted call from beginning to end; failures are in the answer, never raised.

        Args:
            channel: The channel to use.
            rpc: The method to call.
            script: What the server is to do.
            messages: What to send; one message by default.
            interval: Seconds between messages.
            call_id: By default a new one.
            metadata: Further metadata to send.
            timeout: The call's deadline in seconds, which is sent to the server.
            compression: ``gzip``, or None.
        """
        answer: Answer[RecvT] = Answer(call_id or self.new_call_id())
        stream = self.request(
            channel,
            rpc,
            script,
            call_id=answer.call_id,
            metadata=metadata,
            timeout=timeout,
            compression=compression,
        )
        streaming = rpc.cardinality.client_streaming
        to_send = [rpc.message("hi")] if messages is None else messages
        await gather(stream, answer, to_send, streaming=streaming, interval=interval)
        return answer

    # Raw HTTP/2

    @asynccontextmanager
    async def http2(self, to: Target | None = None) -> AsyncIterator[Http2]:
        """A fresh HTTP/2 connection that hides nothing, for the block.

        Raises:
            UnreachableError: No connection could be made.
        """
        where = to or self.target
        async with self._watching(where).open_http2(self._line(where), self._authority(where)) as connection:
            yield connection

    def begin(
        self,
        connection: Http2,
        rpc: Rpc[SendT, RecvT],
        script: Script | None = None,
        *,
        call_id: str,
        metadata: Sequence[tuple[str, str | bytes]] = (),
        timeout: float | None = None,
        encoding: str = IDENTITY,
    ) -> Stream:
        """Send the head of a scripted call on a raw connection; send messages with `Stream.send` of `message`."""
        request = Request(
            rpc.path,
            connection.scheme,
            connection.authority,
            timeout=timeout,
            metadata=MultiDict([*scripted(call_id, script or {}, self.headers), *metadata]),
            encoding=encoding,
        )
        return connection.open(request.fields())

    def message(self, rpc: Rpc[SendT, RecvT], text: str = "hi") -> bytes:
        """A message as sent in DATA frames: gRPC's 5-byte prefix, then the message."""
        return encode_message(bytes(rpc.message(text)))  # type: ignore[call-overload]

    # Evidence

    async def evidence(
        self,
        call_id: str,
        *,
        until: Callable[[Record], object] = is_over,
        within: float = 2.0,
        attempts: int = 1,
    ) -> list[Record] | None:
        """What the server saw of a call. All of `direct` are asked, or else those at the end of the path.

        Args:
            call_id: The call.
            until: The condition for each record; by default that the call has ended.
            within: Seconds to keep asking.
            attempts: The number of records to wait for.

        Returns:
            The attempts as they are by then; an empty list if no server has seen the call; None if none can be asked.
        """
        async with AsyncExitStack() as stack:
            asked = [Address(partial(self.channel, end), stack) for end in self.direct]
            asked = asked or [Address(self.channel, stack, self.headers)]

            async def look() -> list[Record] | None:
                answers = [answer for address in asked if (answer := await address.look(call_id)) is not None]
                return [record for answer in answers for record in answer] if answers else None

            return await ask_until(look, until=until, within=within, attempts=attempts)

    # The gateway

    async def get(self, target: str, headers: Headers = (), method: str = "GET") -> HttpAnswer:
        """One HTTP/1.1 request to the gateway on a connection of its own; ``target`` begins with a slash.

        Raises:
            UnreachableError: No connection could be made, or no answer came.
        """
        gateway = self._gateway()
        stream = await self._line(gateway).connect(["http/1.1"])
        try:
            host = self._host(gateway)
            return await exchange(stream, host, gateway.prefix + target, [*self.headers, *headers], method)
        finally:
            with trio.move_on_after(1.0, shield=True):  # As in `echo.probe.http2`.
                await stream.aclose()

    @asynccontextmanager
    async def websocket(self, target: str, headers: Headers = (), *, deflate: bool = False) -> AsyncIterator[WebSocket]:
        """A WebSocket to the gateway by HTTP/1.1's upgrade, for the block; leaving it closes the connection.

        Raises:
            UnreachableError: No connection could be made.
            RefusedError: The answer is not an upgrade.
        """
        gateway = self._gateway()
        stream = await self._line(gateway).connect(["http/1.1"])
        try:
            yield await upgrade(
                stream, self._host(gateway), gateway.prefix + target, [*self.headers, *headers], deflate=deflate
            )
        finally:
            with trio.move_on_after(1.0, shield=True):  # As in `echo.probe.http2`.
                await stream.aclose()

    @asynccontextmanager
    async def gateway_http2(self) -> AsyncIterator[Http2]:
        """A fresh HTTP/2 connection to the gateway, for the block. Use `tunnel_on` for a WebSocket on it.

        Raises:
            UnreachableError: No connection could be made, or HTTP/2 was not chosen in the TLS handshake.
        """
        gateway = self._gateway()
        stream = await self._line(gateway).connect(["h2", "http/1.1"])
        if isinstance(stream, trio.SSLStream) and stream.selected_alpn_protocol() != "h2":
            await trio.aclose_forcefully(stream)
            raise UnreachableError(f"{gateway} did not choose HTTP/2 in the TLS handshake (ALPN)")
        async with open_http2(stream, gateway.scheme, self._host(gateway)) as connection:
            yield connection

    async def tunnel_on(
        self, connection: Http2, target: str, headers: Headers = (), *, deflate: bool = False
    ) -> WebSocket:
        """A WebSocket on `gateway_http2` (RFC 8441).

        Raises:
            RefusedError: The answer is not a WebSocket.
        """
        return await tunnel(connection, self._gateway().prefix + target, [*self.headers, *headers], deflate=deflate)

    def _gateway(self) -> Target:
        if self.gateway is None:
            raise NoGatewayError("it needs the gateway's URL (--gateway)")
        return self.gateway

    def _watching(self, to: Target) -> Unserved:
        return self.unserved if to is self.target else Unserved()

    def _line(self, to: Target) -> Line:
        return Line(to, self.tls, None if to is self.gateway else self.server_name)

    def _authority(self, to: Target) -> str:
        return self.authority if self.authority is not None and to is self.target else to.authority

    def _host(self, gateway: Target) -> str:
        return join(gateway.host, None if gateway.port == DEFAULT_PORTS[gateway.scheme] else gateway.port)
