"""The gateways that are compared, each in a process of its own: ``python -m tests.bench.gateways NAME BACKEND_PORT``.

All take WebSockets at `ROUTE` and relay each message to a bidirectional call of its own, and each response back: ours
as it is; and what one would write today with Starlette on uvicorn, at its fastest, and grpcio's asyncio client. A third
relays nothing: an echo in Hypercorn's trio worker, which is what ours runs in, shows what that alone costs.

``BACKEND`` is the gRPC server behind them. It takes more calls on a connection than ours usually does, since grpcio
opens no second connection for the hundred-and-first WebSocket.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Final

import anyio
import grpc
import trio
import uvicorn
from anyio.abc import SocketAttribute
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from echo.gateway import serve_gateway
from echo.rpc import Limits, Server, open_tcp_listener
from echo.services import echo_services
from echo.settings import load_settings
from tests.bench.peers import BIDIRECTIONAL, LOOPBACK
from tests.support.grpcio import StreamMessage, StreamResponse

ROUTE: Final = "/ws/stream/bidirectional"
BACKEND: Final = "backend"
BACKEND_LIMITS: Final = Limits(max_concurrent_streams=20_000)


async def backend() -> None:
    """The gRPC server that the gateways call."""
    server = Server(echo_services().services, limits=BACKEND_LIMITS)
    async with anyio.create_task_group() as nursery:
        listener = await open_tcp_listener(LOOPBACK, 0)
        await nursery.start(server.serve, listener)
        print(listener.extra(SocketAttribute.local_port), flush=True)


async def echo(backend_port: int) -> None:
    """Ours."""
    settings = load_settings(
        {
            "GRPC_SERVER_HOST": LOOPBACK,
            "GRPC_SERVER_PORT": str(backend_port),
            "HTTP_BIND": LOOPBACK,
            "HTTP_PORT": "0",
            "LOG_LEVEL": "warning",
            "ACCESS_LOG": "off",  # As the others'.
        }
    )
    async with trio.open_nursery() as nursery:
        addresses: list[str] = await nursery.start(partial(serve_gateway, settings, shutdown=trio.sleep_forever))
        print(addresses[0].rpartition(":")[2], flush=True)


async def starlette(backend_port: int) -> None:
    """What it is compared with: one task reads the socket, another the call."""
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{backend_port}") as channel:
        method = channel.stream_stream(BIDIRECTIONAL, StreamMessage.SerializeToString, StreamResponse.FromString)

        async def bidirectional(websocket: WebSocket) -> None:
            await websocket.accept()
            call = method()

            async def responses() -> None:
                async for response in call:
                    await websocket.send_text(
                        json.dumps(
                            {
                                "stream_id": response.stream_id,
                                "sequence_number": response.sequence_number,
                                "timestamp": response.timestamp,
                                "response": response.response,
                                "success": response.success,
                            },
                            separators=(",", ":"),
                            ensure_ascii=False,
                        )
                    )

            writer = asyncio.create_task(responses())
            try:
                while True:
                    fields = json.loads(await websocket.receive_text())
                    await call.write(
                        StreamMessage(
                            stream_id=fields.get("stream_id", ""),
                            sequence_number=fields.get("sequence_number", 0),
                            timestamp=fields.get("timestamp", 0),
                            message=fields.get("message", ""),
                        )
                    )
            except WebSocketDisconnect:
                await call.done_writing()
                await writer
            finally:
                call.cancel()

        app = Starlette(routes=[WebSocketRoute(ROUTE, bidirectional)])
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", ws="websockets-sansio", log_level="warning", access_log=False
        )
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
            listening.bind((LOOPBACK, 0))
            listening.listen()
            print(listening.getsockname()[1], flush=True)
            await uvicorn.Server(config).serve([listening])


Message = MutableMapping[str, Any]


async def no_relay(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """An ASGI application that echoes messages."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def hypercorn(_backend_port: int) -> None:
    config = Config()
    config.bind = [f"{LOOPBACK}:0"]
    config.errorlog = None
    async with trio.open_nursery() as nursery:
        addresses: list[str] = await nursery.start(hypercorn_serve, no_relay, config)
        print(addresses[0].rpartition(":")[2], flush=True)


GATEWAYS: Final[dict[str, Callable[[int], object]]] = {
    "echo": lambda port: trio.run(echo, port),
    "Starlette + uvicorn + grpcio.aio": lambda port: uvloop_run(starlette(port)),
    "Hypercorn on trio, no relay": lambda port: trio.run(hypercorn, port),
}


def uvloop_run(main: Any) -> None:
    import uvloop  # Not on Windows.

    uvloop.run(main)


if __name__ == "__main__":
    if sys.argv[1] == BACKEND:
        trio.run(backend)
    else:
        GATEWAYS[sys.argv[1]](int(sys.argv[2]))
