"""Hypercorn's trio worker in the test's own process, with its own connection class or ours, and a small application.

A test chooses between the two by replacing the name in `hypercorn.trio.run`; see `test_still_needed`.
"""

import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve
from hypercorn.typing import ASGIFramework, ASGIReceiveEvent, ASGISendEvent
from hypercorn.utils import wrap_app

from echo.gateway.hypercorn_compat import DIRECT, AcceptOptions
from tests.support.serving import LOOPBACK

FOR_EVER = 3600.0  # Seconds, virtual ones, that stand for it.

Scope = dict[str, object]
Receive = Callable[[], Awaitable[ASGIReceiveEvent]]
Send = Callable[[ASGISendEvent], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Running:
    """A worker that serves.

    Attributes:
        port: Where.
        stop: Set it to have it end.
        ended: It has.
        died: It has, by an exception.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.stop = trio.Event()
        self.ended = trio.Event()
        self.died = False

    async def serve(self, app: App, config: Config, listening: socket.socket) -> None:
        async def whole(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                raise NotImplementedError
            await app(scope, receive, send)

        try:
            await worker_serve(
                wrap_app(cast("ASGIFramework", whole), 0, "asgi"),
                config,
                sockets=Sockets([], [listening], []),
                shutdown_trigger=self.stop.wait,
            )
        except* Exception:  # noqa: BLE001 - Whatever it is, the process would be over.
            self.died = True
        finally:
            self.ended.set()


@asynccontextmanager
async def serving(app: App, **settings: object) -> AsyncIterator[Running]:
    """A worker for the block; ``settings`` are attributes of Hypercorn's configuration."""
    config = Config()
    config.errorlog = logging.getLogger("hypercorn.error")
    config.graceful_timeout = 1
    for name, value in settings.items():
        assert hasattr(config, name)
        setattr(config, name, value)
    with socket.create_server((LOOPBACK, 0), backlog=100) as listening:
        listening.setblocking(False)
        running = Running(listening.getsockname()[1])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.serve, app, config, listening)
            yield running
            nursery.cancel_scope.cancel()


# Applications


async def answer(
    send: Send, body: bytes = b"hello", status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> None:
    """A whole response."""
    fields = [(name.encode(), value.encode()) for name, value in headers]
    await send(cast("ASGISendEvent", {"type": "http.response.start", "status": status, "headers": fields}))
    await send_body(send, body, more=False)


async def send_body(send: Send, body: bytes, *, more: bool = True) -> None:
    """A piece of a response's body, or the last one."""
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def accept(send: Send, *, batched: bool = False, ping_interval: float = float("inf")) -> None:
    """The upgrade to a WebSocket, with what only our connections know of."""
    options = AcceptOptions(batched, ping_interval)
    await send(cast("ASGISendEvent", {"type": "websocket.accept", "subprotocol": None, "headers": [], DIRECT: options}))


async def send_text(send: Send, text: str) -> None:
    """A text message."""
    await send({"type": "websocket.send", "bytes": None, "text": text})


async def send_close(send: Send, code: int = 1000) -> None:
    """A close frame."""
    await send({"type": "websocket.close", "code": code, "reason": None})


async def until_left(receive: Receive) -> None:
    """Wait until the client has left, or the response is over."""
    while not (await receive())["type"].endswith(".disconnect"):
        pass


def as_quart_does(app: App) -> App:
    """The application, in a task that is cancelled once the request is over, as Quart-Trio has it."""

    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await until_left(receive)
                nursery.cancel_scope.cancel()

            if scope["type"] == "http":
                nursery.start_soon(watch)
            await app(scope, receive, send)
            nursery.cancel_scope.cancel()

    return whole


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Says hello over HTTP, and echoes over a WebSocket."""
    if scope["type"] == "http":
        await answer(send)
        return
    await receive()
    await accept(send)
    while (event := await receive())["type"] == "websocket.receive":
        await send_text(send, str(event.get("text")))
