"""Notes of calls: none, one or several, each at its own cost only."""

from collections.abc import Callable

from echo.rpc import Server
from echo.rpc.testing import memory_channel_to
from echo.transport import ServerCall, listeners_of
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


def test_without_notes_nothing_is_called() -> None:
    found = listeners_of([])
    assert (found.note, found.flush) == (None, None)


def test_a_single_note_is_called_directly() -> None:
    for notes in (Notes(), Held()):
        found = listeners_of([notes])
        methods: list[Callable[..., None] | None] = [getattr(notes, name, None) for name in ("note", "flush")]
        assert [found.note, found.flush] == methods


def test_several_notes_are_called_in_turn_for_the_events_they_want() -> None:
    first, second = Held(), Notes()
    found = listeners_of([first, second])
    assert found.flush == first.flush
    assert found.note is not None
    third = Held()
    both = listeners_of([first, third])
    assert both.flush is not None
    both.flush()
    assert first.heard == third.heard == [("flushed", "")]


async def test_a_server_notes_each_call_once() -> None:
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
    assert [one.heard for one in notes] == [[("over", path)], [("over", path)]]
