"""A stream whose next message depends on the last reply."""

import anyio

from echo.rpc import Cardinality
from echo.rpc.testing import memory_channel
from examples.chat import Chat
from examples.pb.chat.v1 import Line


async def main() -> None:
    """Send three lines, each after receiving the one before."""
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


if __name__ == "__main__":
    anyio.run(main, backend="trio")
