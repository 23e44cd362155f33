"""An idle WebSocket keeps nothing of its last message: there may be thousands, and messages may have megabytes."""

import json
import tracemalloc

import pytest

from tests.support.gateway import running_gateway
from tests.support.leaks import settles
from tests.support.streams import HELLO
from tests.support.websocket import open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

SIZE = 200_000


async def test_an_idle_websocket_keeps_nothing_of_its_last_message() -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, "/ws/stream/bidirectional") as socket:
        await socket.send(HELLO)
        await socket.receive()
        tracemalloc.start()
        try:
            await socket.send(json.dumps({"stream_id": "a", "message": "x" * SIZE}))
            assert len(str(await socket.receive())) > SIZE
            await settles(lambda: tracemalloc.get_traced_memory()[0] // SIZE, 0, "copies")
        finally:
            tracemalloc.stop()
