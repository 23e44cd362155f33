"""One HTTP request and its response, directly on ASGI: streams both bodies and notices when the client disconnects.

It bypasses Quart, which buffers the request's body and cannot start a response before the request has ended.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from echo.evidence import INSTANCE
from echo.gateway.drain import Drain
from echo.gateway.metadata import INSTANCE_HEADER, REQUEST_ID, identify

HTTPHeaders: TypeAlias = list[tuple[bytes, bytes]]

LINGER: Final = 0.5
"""Seconds for which the rest of a request is read and dropped so that the answer arrives. A drain allows one second."""

_NEVER_HIDDEN: Final = frozenset({b"content-type", b"content-length", b"vary"})


class ClientGoneError(Exception):
    """The client has disconnected."""


class Exchange:
    """A request being answered. One task receives, one sends.

    Attributes:
        method: The request's method, in upper case.
        path: The path as in the request line, without the query.
        query: The query, without its ``?``.
        headers: The request's headers, with names in lower case.
        client: The peer's address.
        request_id: The request's id, shared with the client and with the server behind.
        cors_origin: The origin of a page that may read the response, or None.
        response_started: Whether the response has started.
    """

    def __init__(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable, drain: Drain) -> None:
        self.method = scope["method"]
        self.path = path_of(scope)
        self.query = scope["query_string"].decode("latin-1")
        self.headers = list(scope["headers"])
        self.client = scope["client"][0] if scope["client"] else None
        self.request_id = identify(scope)
        self.cors_origin: str | None = None
        self.response_started = False
        self._http1 = scope["http_version"].startswith("1")
        self._receive = receive
        self._send = send
        self._drain = drain
        self._received_all = False

    def header(self, name: bytes) -> str | None:
        """The first value of a header; None if it is missing."""
        for found, value in self.headers:
            if found == name:
                return value.decode("latin-1").strip()
        return None

    async def receive(self) -> bytes | None:
        """Receive the next piece of the body, which may be empty; None after the last one.

        Raises:
            ClientGoneError: The client has disconnected.
        """
        if self._received_all:
            return None
        event = await self._receive()
        if event["type"] != "http.request":
            raise ClientGoneError
        self._received_all = not event.get("more_body", False)
        return event.get("body", b"")

    async def receive_all(self, limit: int) -> bytes | None:
        """Receive the whole body; None as soon as it exceeds ``limit`` bytes.

        Raises:
            ClientGoneError: The client has disconnected.
        """
        announced = self.header(b"content-length") or ""
        if announced.isdecimal() and int(announced[:20]) > limit:
            return None
        body = bytearray()
        while (piece := await self.receive()) is not None:
            body += piece
            if len(body) > limit:
                return None
        return bytes(body)

    async def disconnected(self) -> None:
        """Wait until the client has disconnected, dropping what it still sends."""
        while (await self._receive())["type"] == "http.request":
            pass

    async def begin(self, status: int, headers: HTTPHeaders) -> None:
        """Send the response's head."""
        self.response_started = True
        own = [(REQUEST_ID, self.request_id), (INSTANCE_HEADER, INSTANCE)]
        found = [*headers, *((name.encode(), value.encode()) for name, value in own)]
        if self.cors_origin is not None:
            # A page sees only the headers exposed to it (Fetch, "CORS-exposed header-name").
            seen = sorted({name for name, _ in found} - _NEVER_HIDDEN)
            found.append((b"access-control-allow-origin", self.cors_origin.encode("latin-1")))
            found.append((b"access-control-expose-headers", b", ".join(seen)))
            found.append((b"vary", b"origin"))
        if self._http1 and self._drain.started:
            found.append((b"connection", b"close"))  # The client should send its next request elsewhere.
        await self._send({"type": "http.response.start", "status": status, "headers": found})

    async def send(self, data: bytes) -> None:
        """Send a piece of the response's body; waits while the client does not read."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece of the body and end the response, unless the client disconnects first.

        Over HTTP/1.1 the connection is closed if the request has not ended by then. `LINGER` gives it time to end,
        because closing a socket with unread data resets it and the client might never see the response (RFC 9112 §9.6).
        """
        async with self._dropping_request() as over:
            if data:
                await self.send(data)
            if self._http1:
                with trio.move_on_after(LINGER):
                    await over.wait()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer(self, status: int, headers: HTTPHeaders, body: bytes = b"") -> None:
        """Send a whole response."""
        await self.begin(status, headers if status == 204 else [*headers, (b"content-length", b"%d" % len(body))])
        await self.end(body)

    async def answer_with_trailers(self, headers: HTTPHeaders, trailers: HTTPHeaders) -> None:
        """Send a response without a body. Over HTTP/1.1 trailers are sent as headers; few clients read trailers."""
        if self._http1:
            await self.answer(200, [*headers, *trailers])
            return
        async with self._dropping_request():
            await self._send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            await self._send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})

    @asynccontextmanager
    async def _dropping_request(self) -> AsyncIterator[trio.Event]:
        """Drop the rest of the request while the block ends the response; yields an event for the request's end.

        If nobody received the rest, the server would wait to deliver it, and the block would wait for the server. A
        client that disconnects delays the block by at most `LINGER`.
        """
        over = trio.Event()

        async def drop() -> None:
            with suppress(ClientGoneError):
                while await self.receive() is not None:
                    pass
                over.set()
                await self.disconnected()
            # The end of the response looks like a disconnecting client here, and must not be cut short.
            await trio.sleep(LINGER)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drop)
            yield over
            nursery.cancel_scope.cancel()


def path_of(scope: HTTPScope) -> str:
    """A request's path, percent-encoded as sent, relative to the application's root path."""
    path = scope["raw_path"].decode("latin-1")
    if not path.startswith("/"):  # RFC 9112 §3.2.2: it may be an absolute URL.
        path = urlsplit(path).path
    return path.removeprefix(scope["root_path"])
