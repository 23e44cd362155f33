"""Clients of a gateway: unary calls over HTTP/1.1, kept alive, and WebSockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import h11
import trio

from tests.soak.program import LOOPBACK
from tests.support.websocket import Headers, WebSocket, open_websocket


class WebClient:
    """One connection to a gateway, opened again when the gateway has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stream: trio.SocketStream | None = None
        self._http = h11.Connection(h11.CLIENT)
        self.body = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def get_reply(self, key: str) -> int:
        """One unary call; gives the HTTP status."""
        return await self.get(f"/grpc/{key.replace(' ', '%20')}")

    async def get(self, path: str) -> int:
        """A request and its response; gives the status, and leaves the body in `body`.

        Raises:
            OSError: Nobody listens there.
            EOFError: The connection ended before the response came.
        """
        reused = self._stream is not None
        try:
            return await self._exchange(path)
        except EOFError:
            # Of a connection that was kept open, this may be the end that had come before: nobody has seen the
            # request, if no byte of a response came. Every HTTP client does so for requests that may be repeated.
            if not reused or self._http.their_state is not h11.SEND_RESPONSE:
                raise
            await self.aclose()
            return await self._exchange(path)
        finally:
            if self._http.our_state is not h11.IDLE:
                await self.aclose()

    async def _exchange(self, path: str) -> int:
        if self._stream is None:
            self._stream = await trio.open_tcp_stream(LOOPBACK, self._port)
        request = h11.Request(method="GET", target=path, headers=[("Host", "soak.test")])
        try:
            await self._stream.send_all(self._http.send(request) + self._http.send(h11.EndOfMessage()))
            return await self._response()
        except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
            raise EOFError(str(error)) from error

    async def _response(self) -> int:
        assert self._stream is not None
        status, self.body = 0, b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self._stream.receive_some(65_536)
                if not data:
                    raise EOFError
                self._http.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                self.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                    self._http.start_next_cycle()
                return status

    async def aclose(self) -> None:
        """Close the connection; the next request opens another."""
        if self._stream is not None:
            await trio.aclose_forcefully(self._stream)
        self._stream, self._http = None, h11.Connection(h11.CLIENT)


@asynccontextmanager
async def opened(port: int, kind: str, headers: Headers = (), *, buffer: int | None = None) -> AsyncIterator[WebSocket]:
    """A WebSocket on one of the three routes."""
    async with open_websocket(port, f"/ws/stream/{kind}", headers, buffer=buffer) as socket:
        yield socket
