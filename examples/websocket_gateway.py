"""A WebSocket gateway for the chat room.

Run it with ``hypercorn --worker-class trio examples.websocket_gateway:app``. One nursery holds both directions of a
WebSocket and the call: when the browser leaves, Quart cancels the handler, which leaves the call's block, which resets
the call, which cancels the method on the server.
"""

import os

import trio
from quart import websocket
from quart_trio import QuartTrio

from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, open_channel
from examples.pb.chat.v1 import Line

app = QuartTrio(__name__)


@app.websocket("/rooms/<room>")
async def join(room: str) -> None:
    """Send the browser's messages to the room as lines, and the room's lines to the browser as text."""
    author = websocket.args.get("name", "somebody")
    async with open_channel(os.environ.get("CHAT", "127.0.0.1:50052")) as channel, joined(channel) as stream:
        await stream.send_message(Line(room, author, "is here"))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(to_room, stream, room, author)
                async for line in stream:
                    await websocket.send(f"{line.author}: {line.text}")
                nursery.cancel_scope.cancel()
        except* GRPCError as failures:
            await websocket.close(1011, str(failures.exceptions[0])[:100])


def joined(channel: Channel) -> ClientStream[Line, Line]:
    """The call, which begins when its block has been entered and something is sent."""
    return channel.request("/chat.v1.Chat/Join", Cardinality.STREAM_STREAM, Line, Line)


async def to_room(stream: ClientStream[Line, Line], room: str, author: str) -> None:
    """Relay to the room. Its backpressure reaches the browser, because nothing is read while a send waits."""
    while True:
        await stream.send_message(Line(room, author, str(await websocket.receive())))
