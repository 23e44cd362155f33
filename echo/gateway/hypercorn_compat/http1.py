"""HTTP/1.1: reading a request's upgrade to another protocol, and the end of a client's requests.

Upstream:

- Of several ``Connection`` or ``Upgrade`` fields only the last counts, and ``Upgrade`` is not read as a list (RFC 9110
  §5.3, §7.8). ``Connection: Upgrade`` with a second field ``Connection: keep-alive``, which some proxies send, and
  ``Upgrade: h2c, websocket`` are answered as plain requests.
- ``Upgrade`` is honoured in HTTP/1.0, which does not have it (RFC 9110 §7.8).
- A client that ends its side of the connection after its request counts as gone, and Quart-Trio cancels the handler. It
  may still read (RFC 9112 §9.6): here the handler has a second to answer.
- ``Upgrade: h2c`` is accepted without ``Connection: Upgrade``, and with missing, repeated or invalid HTTP2-Settings,
  which make a request malformed (RFC 7540 §3.2.1). Here the upgrade is ignored, and the request answered in HTTP/1.1.
- Status lines have no reason phrase. That is valid (RFC 9112 §4), but Ruby's WebSocket clients refuse the handshake.
"""

import struct
from base64 import b64decode
from http import HTTPStatus
from typing import Final

import h11
from h2.exceptions import InvalidSettingsValueError
from h2.settings import Settings
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import (
    STREAM_ID,
    H2CProtocolRequiredError,
    H2ProtocolAssumedError,
    H11Protocol,
    H11WSConnection,
)
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import H11SendableEvent

from echo.gateway.hypercorn_compat.connection_context import ConnectionContext
from echo.gateway.hypercorn_compat.handshake import tokens
from echo.gateway.hypercorn_compat.websocket_stream import WebSocketStream

_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


class HTTP1Protocol(H11Protocol):
    """Hypercorn's side of an HTTP/1.1 connection."""

    def __init__(self, shared: ConnectionContext) -> None:
        self._shared = shared
        self._asked_with_body = False  # The request for a WebSocket has a body, which nobody reads.
        super().__init__(*shared.of_protocol)

    @property
    def peer_may_be_sending(self) -> bool:
        """Whether the peer may still be sending the rest of a request, or frames."""
        if isinstance(self.connection, h11.Connection):
            return self.connection.their_state in (h11.SEND_BODY, h11.ERROR)
        return self._asked_with_body or self.connection.h11_connection.their_state is h11.SWITCHED_PROTOCOL

    @property
    def request_is_arriving(self) -> bool:
        """Whether part of a request's head has arrived."""
        connection = self.connection
        return (
            isinstance(connection, h11.Connection)
            and connection.their_state is h11.IDLE
            and bool(connection.trailing_data[0])
        )

    async def answered(self) -> None:
        """After the end of input, wait until the request is answered; does not wait if it is for a WebSocket."""
        while isinstance(self.stream, HTTPStream):
            await self.can_read.clear()
            await self.can_read.wait()  # Set at the end of each response.

    async def _check_protocol(self, event: h11.Request) -> None:
        """Raise Hypercorn's exception for a switch to HTTP/2, if the request asks for it."""
        assert isinstance(self.connection, h11.Connection)
        trailing = self.connection.trailing_data[0]
        if (event.method, event.target, event.http_version) == (b"PRI", b"*", b"2.0"):
            raise H2ProtocolAssumedError(b"PRI * HTTP/2.0\r\n\r\n" + trailing)
        if _wants(event, "h2c") and not _wants_websocket(event) and _has_settings(event) and not _has_body(event):
            answer = h11.InformationalResponse(
                status_code=101,
                headers=[*self.config.response_headers("h11"), (b"connection", b"upgrade"), (b"upgrade", b"h2c")],
            )
            await self._send_h11_event(answer)
            raise H2CProtocolRequiredError(trailing, event)

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        if isinstance(event, (h11.Response, h11.InformationalResponse)):
            # The event is frozen, and making another would check the headers again.
            object.__setattr__(event, "reason", _REASONS.get(event.status_code, b""))
        await super()._send_h11_event(event)

    async def _create_stream(self, request: h11.Request) -> None:
        if _wants_websocket(request):
            assert isinstance(self.connection, h11.Connection)
            self.stream = WebSocketStream(  # type: ignore[assignment]  # It has everything that Hypercorn uses.
                self._shared, self.stream_send, STREAM_ID, self._shared.outlet
            )
            self.connection = H11WSConnection(self.connection)
            self._asked_with_body = _has_body(request)
        else:
            self.stream = self._shared.http_stream(self.stream_send, STREAM_ID)
        assert self.stream is not None
        raw = self.config.h11_pass_raw_headers
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=request.headers.raw_items() if raw else list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1
        await self.context.mark_request()


def _wants(request: h11.Request, protocol: str) -> bool:
    headers = list(request.headers)
    return (
        request.http_version == b"1.1"
        and protocol in tokens(headers, b"upgrade")
        and "upgrade" in tokens(headers, b"connection")
    )


def _wants_websocket(request: h11.Request) -> bool:
    return request.method == b"GET" and _wants(request, "websocket")


def _has_settings(request: h11.Request) -> bool:
    """Whether there is exactly one HTTP2-Settings field, and its settings are valid (RFC 9113 §6.5.2)."""
    found = [value for name, value in request.headers if name == b"http2-settings"]
    try:
        payload = b64decode(b"".join(found), altchars=b"-_", validate=True)  # Of six bytes each: no padding.
        Settings(client=True, initial_values=dict(struct.iter_unpack("!HL", payload)))
    except (ValueError, struct.error, InvalidSettingsValueError):
        return False
    return len(found) == 1


def _has_body(request: h11.Request) -> bool:
    """Whether the request has a body, which would have to be read before HTTP/2 begins."""
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in request.headers)
