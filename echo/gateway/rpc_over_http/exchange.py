"""One HTTP request and its response, straight on ASGI: pieces of body in and out, and whether anybody is there.

Below Quart, whose request buffers the body and whose response can't begin before the request has ended.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from echo.evidence import INSTANCE
from echo.gateway.drain import Drain
from echo.gateway.metadata import INSTANCE_HEADER, REQUEST_ID, request_id_of

HTTPHeaders: TypeAlias = list[tuple[bytes, bytes]]

LINGER: Final = 0.5
"""Seconds for which the unwanted rest of a request is read, so that the answer arrives. A drain leaves one second."""

_NEVER_HIDDEN: Final = frozenset({b"content-type", b"content-length", b"vary"})


class ClientGoneError(Exception):
    """The client has left: nothing more comes of it, and nothing reaches it."""


class Exchange:
    """A request being answered. One task receives, one sends.

    Attributes:
        method: Of the request, in upper case.
        path: What was asked for, as it stands in the request line, without the query.
        query: The query, without its ``?``.
        headers: Of the request, names in lower case.
        client: Address of the peer.
        request_id: By which the request is known, here, to the client and to the server behind.
        page: The origin of a page that may read the response; None if there is none.
        began: The response has begun.
    """

    def __init__(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable, drain: Drain) -> None:
        self.method = scope["method"]
        self.path = path_of(scope)
        self.query = scope["query_string"].decode("latin-1")
        self.headers = list(scope["headers"])
        self.client = scope["client"][0] if scope["client"] else None
        self.request_id = request_id_of(self.headers)
        self.page: str | None = None
        self.began = False
        self._one_at_a_time = scope["http_version"].startswith("1")  # Requests on its connection.
        self._receive = receive
        self._send = send
        self._drain = drain
        self._received_all = False

    def header(self, name: bytes) -> str | None:
        """The first value of a header; None without one."""
        for found, value in self.headers:
            if found == name:
                return value.decode("latin-1").strip()
        return None

    async def receive(self) -> bytes | None:
        """The next piece of the body, which may be empty; None once it has ended.

        Raises:
            ClientGoneError: There will be no end.
        """
        if self._received_all:
            return None
        event = await self._receive()
        if event["type"] != "http.request":
            raise ClientGoneError
        self._received_all = not event.get("more_body", False)
        return event.get("body", b"")

    async def receive_all(self, limit: int) -> bytes | None:
        """The whole body; None if it is longer than ``limit`` bytes, at the first byte above.

        Raises:
            ClientGoneError: There will be no end.
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

    async def gone(self) -> None:
        """Wait until the client has left; what it still sends is dropped."""
        while (await self._receive())["type"] == "http.request":
            pass

    async def begin(self, status: int, headers: HTTPHeaders) -> None:
        """Send the response's head."""
        self.began = True
        own = [(REQUEST_ID, self.request_id), (INSTANCE_HEADER, INSTANCE)]
        found = [*headers, *((name.encode(), value.encode()) for name, value in own)]
        if self.page is not None:
            # A page sees no header that it was not promised (Fetch, "CORS-exposed header-name").
            seen = sorted({name for name, _ in found} - _NEVER_HIDDEN)
            found.append((b"access-control-allow-origin", self.page.encode("latin-1")))
            found.append((b"access-control-expose-headers", b", ".join(seen)))
            found.append((b"vary", b"origin"))
        if self._one_at_a_time and self._drain.started:
            found.append((b"connection", b"close"))  # The client's next request is better sent elsewhere.
        await self._send({"type": "http.response.start", "status": status, "headers": found})

    async def send(self, data: bytes) -> None:
        """Send a piece of the response's body; waits while the client takes none."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece of the body and end the response, unless the client leaves meanwhile.

        Over HTTP/1.1 the connection is closed if the request has not ended by then. It is given a little time, because
        closing a socket with unread data resets it, and the client might never see the response (RFC 9112 §9.6).
        """
        async with self._dropping() as over:
            if data:
                await self.send(data)
            if self._one_at_a_time:
                with trio.move_on_after(LINGER):
                    await over.wait()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer(self, status: int, headers: HTTPHeaders, body: bytes = b"") -> None:
        """Send a whole response."""
        await self.begin(status, headers if status == 204 else [*headers, (b"content-length", b"%d" % len(body))])
        await self.end(body)

    async def answer_with_trailers(self, headers: HTTPHeaders, trailers: HTTPHeaders) -> None:
        """Send a response without a body. Over HTTP/1.1 the trailers go among the headers: few clients read others."""
        if self._one_at_a_time:
            await self.answer(200, [*headers, *trailers])
            return
        async with self._dropping():
            await self._send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            await self._send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})

    @asynccontextmanager
    async def _dropping(self) -> AsyncIterator[trio.Event]:
        """Drop the rest of the request while the block ends the response; gives an event for the request's end.

        If nobody received it, the server would wait to hand it on, and the block for the server. A client that leaves
        meanwhile does not hold up the block for long.
        """
        over = trio.Event()

        async def drop() -> None:
            with suppress(ClientGoneError):
                while await self.receive() is not None:
                    pass
                over.set()
                await self.gone()
            # The end of the response looks the same as a client that leaves, and must not be cut short.
            await trio.sleep(LINGER)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drop)
            yield over
            nursery.cancel_scope.cancel()


def path_of(scope: HTTPScope) -> str:
    """What a request asks for, percent-encoded as it was sent, relative to where the application is mounted."""
    path = scope["raw_path"].decode("latin-1")
    if not path.startswith("/"):  # RFC 9112 §3.2.2: the whole URL may stand there.
        path = urlsplit(path).path
    return path.removeprefix(scope["root_path"])
