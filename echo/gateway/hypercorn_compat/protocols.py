"""A connection's protocol: HTTP/1.1, or HTTP/2 by ALPN, prior knowledge or upgrade.

Upstream: HTTP/2's preface counts as a request, and the connection as busy until a request has ended, so a connection
without requests is never closed.

Hypercorn's wrapper creates Hypercorn's protocols; this one creates our subclasses.
"""

from hypercorn.events import Event, RawData, Updated
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError

from echo.gateway.hypercorn_compat.connection_context import ConnectionContext
from echo.gateway.hypercorn_compat.http1 import HTTP1Protocol
from echo.gateway.hypercorn_compat.http2 import HTTP2Protocol
from echo.gateway.hypercorn_compat.websocket_stream import WebSocketStream


class Protocols:
    """The protocol of one connection, which may switch to another."""

    def __init__(self, shared: ConnectionContext, alpn: str | None) -> None:
        self._shared = shared
        self._protocol = HTTP2Protocol(shared) if alpn == "h2" else HTTP1Protocol(shared)

    async def initiate(self) -> None:
        """Send the protocol's first bytes."""
        await self._protocol.initiate()

    async def handle(self, event: Event) -> None:
        """Handle received bytes or the end of the connection."""
        try:
            await self._protocol.handle(event)
        except H2ProtocolAssumedError as error:
            self._protocol = HTTP2Protocol(self._shared)
            await self._protocol.initiate()
            await self._shared.send(Updated(idle=True))
            data = error.data
        except H2CProtocolRequiredError as error:
            self._protocol = HTTP2Protocol(self._shared)
            await self._protocol.initiate(error.headers, error.settings)
            data = error.data
        else:
            return
        if data:
            await self._protocol.handle(RawData(data))

    async def announce_end(self) -> None:
        """Tell the peer that an idle connection ends; HTTP/1.1 has no way to."""
        if isinstance(self._protocol, HTTP2Protocol):
            await self._protocol.announce_end()

    async def answered(self) -> None:
        """After the end of input, wait until the requests are answered; does not wait if they are not HTTP/1.1's."""
        if isinstance(self._protocol, HTTP1Protocol):
            await self._protocol.answered()

    async def finish(self) -> None:
        """After the end of input, wait until everything received is delivered."""
        if isinstance(self._protocol, HTTP2Protocol):
            await self._protocol.finish()

    def forget_streams(self) -> None:
        """Forget the streams, which refer to the protocol; there are some only after a fault."""
        if isinstance(self._protocol, HTTP2Protocol):
            self._protocol.streams.clear()
        else:
            self._protocol.stream = None

    @property
    def peer_may_be_sending(self) -> bool:
        """Whether the peer may still be sending: frames, or the rest of a request."""
        return isinstance(self._protocol, HTTP2Protocol) or self._protocol.peer_may_be_sending

    @property
    def request_is_arriving(self) -> bool:
        """Whether the beginning of a request has arrived, and its end has not; only known for HTTP/1.1."""
        return isinstance(self._protocol, HTTP1Protocol) and self._protocol.request_is_arriving

    def websockets(self) -> list[WebSocketStream]:
        """The open WebSockets."""
        protocol = self._protocol
        streams: list[object] = (
            list(protocol.streams.values()) if isinstance(protocol, HTTP2Protocol) else [protocol.stream]
        )
        return [stream for stream in streams if isinstance(stream, WebSocketStream) and stream.is_open]
