"""Notes of calls: one by one as they end, and flushed where they are held back."""

from echo.rpc import Server
from echo.rpc.testing import memory_channel_to
from echo.transport import ServerCall
from echo.wire import Status
from tests.support.services import BIDI, BytesCodec, BytesStream, Service


class Notes:
    """Takes note of calls that are over."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def note(self, call: ServerCall, now: float, status: Status, reason: str | None) -> None:
        assert (status, reason) == (Status.OK, None)
        assert now >= call.started
        self.heard.append(("over", call.request.path))


class Held(Notes):
    """Holds its notes back."""

    def flush(self) -> None:
        self.heard.append(("flushed", ""))


async def test_each_notes_of_a_server_get_each_call_once() -> None:
    async def talk(stream: BytesStream) -> None:
        async for message in stream:
            await stream.send_message(message)

    notes = [Notes(), Held()]
    server = Server([Service(Talk=(BIDI, talk))], codec=BytesCodec(), notes=notes)
    path = next(iter(server.methods))
    async with (
        memory_channel_to(server, codec=BytesCodec()) as channel,
        channel.request(path, BIDI, bytes, bytes) as stream,
    ):
        await stream.send_message(b"hello")
        assert await stream.recv_message() == b"hello"
        assert ("over", path) not in [*notes[0].heard, *notes[1].heard]
        await stream.end()
        assert await stream.recv_message() is None
    plain, held = (one.heard for one in notes)
    assert plain == [entry for entry in held if entry[0] == "over"] == [("over", path)]
    assert held[-1] == ("flushed", "")
