"""Notes of calls: at once, as they end."""

from collections.abc import Collection

from echo.rpc import Server, Status
from echo.rpc.testing import memory_channel_to
from echo.transport import ServerCall
from tests.support.services import BIDI, BytesCodec, BytesStream, Service


class Notes:
    """Takes note of calls that are over."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def note(self, calls: Collection[ServerCall], now: float) -> None:
        for call in calls:
            assert call.outcome(now) == (Status.OK, None)
            assert now >= call.started
            self.heard.append(call.request.path)


async def test_each_notes_of_a_server_get_each_call_once() -> None:
    async def talk(stream: BytesStream) -> None:
        async for message in stream:
            await stream.send_message(message)

    notes = [Notes(), Notes()]
    server = Server([Service(Talk=(BIDI, talk))], codec=BytesCodec(), notes=notes)
    path = next(iter(server.methods))
    async with (
        memory_channel_to(server, codec=BytesCodec()) as channel,
        channel.request(path, BIDI, bytes, bytes) as stream,
    ):
        await stream.send_message(b"hello")
        assert await stream.recv_message() == b"hello"
        assert [one.heard for one in notes] == [[], []]
        await stream.end()
        assert await stream.recv_message() is None
        assert [one.heard for one in notes] == [[path], [path]]
