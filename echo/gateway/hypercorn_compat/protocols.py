"""Which protocol a connection speaks: HTTP/1.1, or HTTP/2 by ALPN, by prior knowledge or by an upgrade.

Upstream: the preface of HTTP/2 is taken for a request, and the connection for busy, until some request has ended; so
one without any is never closed.

Besides, Hypercorn's own wrapper makes Hypercorn's own protocols; this one makes ours of them.
"""

from hypercorn.events import Event, RawData, Updated
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError

from echo.gateway.hypercorn_compat.http1 import HTTP1Protocol
from echo.gateway.hypercorn_compat.http2 import HTTP2Protocol
from echo.gateway.hypercorn_compat.surroundings import Surroundings
from echo.gateway.hypercorn_compat.websocket_stream import WebSocketStream


class Protocols:
    """The protocol of one connection, and the change to another."""

    def __init__(self, surroundings: Surroundings, alpn: str | None) -> None:
        self._surroundings = surroundings
        self._protocol = HTTP2Protocol(surroundings) if alpn == "h2" else HTTP1Protocol(surroundings)

    async def initiate(self) -> None:
        """Say what is to be said first."""
        await self._protocol.initiate()

    async def handle(self, event: Event) -> None:
        """Take in what came from the peer, or that nothing more will."""
        try:
            await self._protocol.handle(event)
        except H2ProtocolAssumedError as error:
            self._protocol = HTTP2Protocol(self._surroundings)
            await self._protocol.initiate()
            await self._surroundings.send(Updated(idle=True))
            data = error.data
        except H2CProtocolRequiredError as error:
            self._protocol = HTTP2Protocol(self._surroundings)
            await self._protocol.initiate(error.headers, error.settings)
            data = error.data
        else:
            return
        if data:
            await self._protocol.handle(RawData(data))

    async def finish(self) -> None:
        """The peer will say nothing more: wait until what it has said is handed on."""
        if isinstance(self._protocol, HTTP2Protocol):
            await self._protocol.finish()

    def websockets(self) -> list[WebSocketStream]:
        """The WebSockets that are open."""
        protocol = self._protocol
        streams: list[object] = (
            list(protocol.streams.values()) if isinstance(protocol, HTTP2Protocol) else [protocol.stream]
        )
        return [stream for stream in streams if isinstance(stream, WebSocketStream) and stream.is_open]
