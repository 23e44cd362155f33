"""Collects what the access log and metrics report about an HTTP request or a WebSocket when it ends.

The request id is the one that is sent as metadata, so that the gRPC call can be found in the server's log.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import trio
from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
    WebsocketScope,
)

from echo.access_log import Entry
from echo.gateway.metadata import FORWARDED_FOR, identify
from echo.gateway.tracing import ids_of
from echo.transport import address_text as text_of

__all__ = ["LEFT", "RequestNotes", "SocketNotes", "address_text"]

LEFT: Final = "the client left before the response was complete"


class RequestNotes:
    """Sits between the application and the ASGI server for one request, and records it.

    Attributes:
        status: The HTTP status, once a response has begun.
        complete: The whole response has been sent.
    """

    def __init__(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = trio.current_time()
        self.status: int | None = None
        self._bytes_in = 0
        self._bytes_out = 0
        self._left = False
        self.complete = False

    @property
    def seconds(self) -> float:
        """Seconds since the request began."""
        return trio.current_time() - self._began

    async def receive(self) -> ASGIReceiveEvent:
        """ASGI's ``receive``."""
        event = await self._receive()
        if event["type"] == "http.request":
            self._bytes_in += len(event.get("body", b""))
        elif event["type"] == "http.disconnect":
            self._left = True
        return event

    async def send(self, event: ASGISendEvent) -> None:
        """ASGI's ``send``."""
        if event["type"] == "http.response.start":
            self.status = int(event["status"])
        elif event["type"] == "http.response.body":
            self._bytes_out += len(event.get("body", b""))
            self.complete = not event.get("more_body", False)
        await self._send(event)

    @property
    def reason(self) -> str | None:
        """Why the response is incomplete, in words; None if it is complete."""
        if self.complete:
            return None
        return LEFT if self._left else "cut off"

    def entry(self) -> Entry:
        """The entry for the access log."""
        trace, span = ids_of(self._scope)
        return Entry(
            "http",
            peer=address_text(self._scope["client"]),
            forwarded_for=_value(self._scope["headers"], FORWARDED_FOR),
            method=self._scope["method"],
            path=self._scope["raw_path"].decode("latin-1"),
            status=self.status,
            reason=self.reason,
            seconds=self.seconds,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            request_id=identify(self._scope),
            trace_id=trace,
            span_id=span,
        )


class SocketNotes:
    """What is recorded about one WebSocket.

    Attributes:
        accepted: The upgrade was made.
        route: The template of its route; empty if no route has its path.
        messages_in: Messages received.
        messages_out: Messages sent.
        bytes_in: Bytes of the messages received.
        bytes_out: Bytes of the messages sent.
        status: The close code, or the HTTP status of a refused handshake; None while it is open.
        reason: A readable reason for the status.
        by_client: The client ended it.
    """

    __slots__ = (
        "_began",
        "_scope",
        "accepted",
        "by_client",
        "bytes_in",
        "bytes_out",
        "messages_in",
        "messages_out",
        "reason",
        "route",
        "status",
    )

    def __init__(self, scope: WebsocketScope) -> None:
        self.messages_in = self.messages_out = self.bytes_in = self.bytes_out = 0
        self.accepted = False
        self.route = ""
        self._scope = scope
        self._began = trio.current_time()
        self.status: int | None = None
        self.reason = ""
        self.by_client = False

    @property
    def http_version(self) -> str:
        """The HTTP version of the handshake."""
        return self._scope["http_version"]

    @property
    def seconds(self) -> float:
        """Seconds since the handshake began."""
        return trio.current_time() - self._began

    def sent(self, texts: Sequence[str]) -> None:
        """Count these messages as sent."""
        self.messages_out += len(texts)
        for text in texts:
            self.bytes_out += len(text) if text.isascii() else len(text.encode())

    def end(self, status: int, reason: str, *, by_client: bool = False) -> None:
        """Record its close code, or the HTTP status of a refused handshake. Only the first call counts."""
        if self.status is None:
            self.status, self.reason, self.by_client = status, reason, by_client

    def entry(self) -> Entry:
        """The entry for the access log."""
        trace, span = ids_of(self._scope)
        return Entry(
            "websocket",
            peer=address_text(self._scope["client"]),
            forwarded_for=_value(self._scope["headers"], FORWARDED_FOR),
            path=self._scope["raw_path"].decode("latin-1"),
            status=self.status,
            reason=self.reason or None,
            seconds=self.seconds,
            messages_in=self.messages_in,
            messages_out=self.messages_out,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            request_id=identify(self._scope),
            trace_id=trace,
            span_id=span,
        )


def address_text(address: tuple[str, int | None] | None) -> str | None:
    """A scope's ``client`` or ``server`` as ``HOST:PORT``, with brackets around IPv6 addresses."""
    return None if address is None else text_of(address)


def _value(headers: Iterable[tuple[bytes, bytes]], wanted: str) -> str | None:
    name = wanted.encode()
    for found, value in headers:
        if found.lower() == name:
            return value.decode("latin-1").strip()
    return None
