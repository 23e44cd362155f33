"""Streams: one whose next message depends on the last reply, and one that is left early."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import anyio

from echo.rpc import Cardinality, bind
from echo.rpc.testing import memory_channel
from examples.chat import Chat
from examples.pb.chat.v1 import Line
from examples.pb.todo.v1 import AddRequest, Todo, TodosStub, WatchRequest
from examples.todo_server import Todos


async def main() -> None:
    """Send three lines, each after receiving the one before; then watch for a to-do."""
    # --8<-- [start:stream]
    async with memory_channel([Chat()]) as channel:
        call = channel.request("/chat.v1.Chat/Join", Cardinality.STREAM_STREAM, Line, Line)
        async with call as stream:
            for text in ("one", "two", "three"):
                await stream.send_message(Line("tea", "ada", text))
                heard = await stream.recv_message()
                assert heard is not None
                print(heard.text)
            await stream.end()  # Half-close: nothing more will be sent.
            assert await stream.recv_message() is None  # The server has ended the call with OK.
    # --8<-- [end:stream]

    async with memory_channel([Todos()]) as channel, bind(TodosStub, channel) as stub:
        await stub.add(AddRequest("drink it"))
        # --8<-- [start:aclosing]
        async with aclosing(cast("AsyncGenerator[Todo, None]", stub.watch(WatchRequest()))) as todos:
            async for todo in todos:
                if todo.title == "drink it":
                    break
        # Here the call is over.
        # --8<-- [end:aclosing]


if __name__ == "__main__":
    anyio.run(main, backend="trio")
