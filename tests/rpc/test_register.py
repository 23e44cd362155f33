"""The register of a server's calls: open ones, and columns of ended ones for those who count or trace them."""

import anyio
import pytest

from echo.rpc import GRPCError, Server, Status, open_channel
from echo.rpc.register import FULL, EndedCalls
from echo.rpc.testing import memory_channel_to
from tests.support.services import BIDI, UNARY, BytesCodec, BytesStream, Service, call, unary
from tests.support.serving import LOOPBACK, serving

CODEC = BytesCodec()


class Takes:
    """Keeps what it takes."""

    def __init__(self) -> None:
        self.taken: list[EndedCalls] = []

    def take(self, calls: EndedCalls) -> None:
        self.taken.append(calls)


async def one(stream: BytesStream) -> None:
    message = await stream.recv_message()
    if message == b"no":
        raise GRPCError(Status.NOT_FOUND)
    await stream.send_message(b"hello")


async def each(stream: BytesStream) -> None:
    async for message in stream:
        await stream.send_message(message)


def served(*takers: Takes) -> Server:
    return Server([Service(One=(UNARY, one), Each=(BIDI, each))], codec=CODEC, notes=takers)


async def test_ended_calls_are_handed_over_when_somebody_asks() -> None:
    first, second = Takes(), Takes()
    server = served(first, second)
    assert server.register is not None
    async with memory_channel_to(server, codec=CODEC) as channel:
        await unary(channel, "One", b"hi")
        with pytest.raises(GRPCError):
            await unary(channel, "One", b"no")
        assert first.taken == []
        server.register.flush()
        server.register.flush()  # Nothing is handed over twice.
    (calls,) = first.taken
    assert second.taken == [calls]
    assert calls.paths == ["/test.Service/One", "/test.Service/One"]
    assert calls.statuses == [Status.OK, Status.NOT_FOUND]
    assert all(began <= ended for began, ended in zip(calls.started, calls.ended, strict=True))
    assert (calls.received, calls.consumed) == ([1, 1], [7, 7])
    assert (calls.sent, calls.taken) == ([1, 0], [10, 0])
    assert (calls.parents, calls.seeds) == ([b"", b""], [None, None])
    assert {type(column) for column in calls} == {list}


async def test_they_are_handed_over_when_there_are_enough_and_when_a_connection_ends() -> None:
    takes = Takes()
    async with memory_channel_to(served(takes), codec=CODEC) as channel:
        for _ in range(FULL + 1):
            await unary(channel, "One", b"hi")
        assert [len(calls.paths) for calls in takes.taken] == [FULL]
    assert [len(calls.paths) for calls in takes.taken] == [FULL, 1]


async def test_a_call_is_open_until_it_has_ended() -> None:
    takes = Takes()
    server = served(takes)
    assert server.register is not None
    async with memory_channel_to(server, codec=CODEC) as channel, call(channel, "Each", BIDI) as stream:
        await stream.send_message(b"hi")
        await stream.recv_message()
        assert [found.request.path for found in server.register.open] == ["/test.Service/Each"]
        await stream.end()
        assert await stream.recv_message() is None
        assert server.register.open == set()


async def test_calls_that_end_together_are_open_or_ended_at_any_time_and_never_both() -> None:
    takes = Takes()
    counts: list[int] = []

    def ended() -> int:
        return sum(len(calls.paths) for calls in takes.taken)

    async def count(stream: BytesStream) -> None:
        await stream.recv_message()
        assert server.register is not None
        server.register.flush()
        counts.append(ended() + len(server.register.open))
        await stream.send_message(b"hello")

    server = Server([Service(One=(UNARY, count))], codec=CODEC, notes=[takes])
    register = server.register
    assert register is not None
    async with serving(server) as port, open_channel(LOOPBACK, port, codec=CODEC) as channel:
        async with anyio.create_task_group() as calls:
            for _ in range(20):
                calls.start_soon(unary, channel, "One", b"hi")
        assert register.open == set()  # The clients have their replies, so no call is open.
        register.flush()
        assert ended() == 20
    assert counts == sorted(counts)
    assert counts[-1] == 20
    assert len({at for calls in takes.taken for at in calls.ended}) < 20  # The writer sent most of them together.
    assert ended() == 20


def test_a_server_that_nobody_counts_or_traces_has_none() -> None:
    assert served().register is None
