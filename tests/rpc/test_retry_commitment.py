"""Until when a call can be retried: its response has not begun, its messages are kept, its caller still waits."""

import pytest
import trio

from echo.rpc import GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from echo.transport.client_call import MAX_KEPT
from tests.support.attempts import PREVIOUS, PUSHBACK, Flaky, fails, leave_two_calls, retrying
from tests.support.services import BIDI, CODEC, UNARY, BytesStream, Service, call


async def test_a_call_whose_response_has_begun_is_not_retried() -> None:
    async def begin_and_fail(stream: BytesStream) -> None:
        calls.append(stream)
        await stream.send_initial_metadata()
        raise GRPCError(Status.UNAVAILABLE, "not now")

    calls: list[BytesStream] = []
    server = Server([Service(One=(UNARY, begin_and_fail))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC, service_config=retrying()) as channel:
        await fails(channel, Status.UNAVAILABLE)
    assert len(calls) == 1


@pytest.mark.parametrize("size", [MAX_KEPT - 5, MAX_KEPT - 4])
async def test_a_call_is_retried_only_while_its_messages_are_kept(size: int) -> None:
    flaky = Flaky(Status.UNAVAILABLE)
    async with flaky.channel(retrying()) as channel, call(channel, "One", UNARY) as stream:
        await stream.send_message(bytes(size))
        if size + 5 <= MAX_KEPT:
            assert await stream.recv_message() == bytes(size)
        else:
            with pytest.raises(GRPCError, match="not now"):
                await stream.recv_message()


async def test_a_stream_is_retried_while_its_caller_still_sends(autojump_clock: trio.abc.Clock) -> None:
    """The server fails the first attempts before it has read anything; every message arrives once, in order."""

    async def serve(stream: BytesStream) -> None:
        assert stream.metadata is not None
        if stream.metadata.get(PREVIOUS, "0") != "3":
            await stream.recv_message()
            raise GRPCError(Status.UNAVAILABLE, "not now")
        async for message in stream:
            await stream.send_message(message)

    messages = [b"%d" % number for number in range(50)]
    server = Server([Service(All=(BIDI, serve))], codec=CODEC)
    async with (
        memory_channel_to(server, codec=CODEC, service_config=retrying(5, "1s")) as channel,
        call(channel, "All", BIDI) as stream,
        trio.open_nursery() as nursery,
    ):
        await stream.send_request()

        async def send() -> None:
            for message in messages:
                await stream.send_message(message)
                await trio.sleep(0.1)
            await stream.end()

        nursery.start_soon(send)
        assert [message async for message in stream] == messages


@pytest.mark.parametrize("reads", range(0, 12, 2))
@pytest.mark.parametrize("failures", [1, 4])
async def test_after_a_failure_every_message_arrives_once_in_order(reads: int, failures: int) -> None:
    async def serve(stream: BytesStream) -> None:
        assert stream.metadata is not None
        attempts.append(stream.metadata.get(PREVIOUS, "0"))
        if len(attempts) <= failures:
            for _ in range(reads):
                await stream.recv_message()
            await stream.send_trailing_metadata(status=Status.UNAVAILABLE, metadata={PUSHBACK: "0"})
            return
        async for message in stream:
            await stream.send_message(message)

    attempts: list[str | bytes] = []
    messages = [b"%d" % number for number in range(20)]
    server = Server([Service(All=(BIDI, serve))], codec=CODEC)
    async with (
        memory_channel_to(server, codec=CODEC, service_config=retrying()) as channel,
        call(channel, "All", BIDI) as stream,
        trio.open_nursery() as nursery,
    ):
        await stream.send_request()

        async def send() -> None:
            for message in messages:
                await stream.send_message(message)
                await trio.lowlevel.checkpoint()
            await stream.end()

        nursery.start_soon(send)
        assert [message async for message in stream] == messages
    assert attempts == [str(number) for number in range(failures + 1)]


async def test_a_call_that_is_left_before_its_next_attempt_is_over(autojump_clock: trio.abc.Clock) -> None:
    flaky = Flaky(*[Status.UNAVAILABLE] * 4)
    async with flaky.channel(retrying(5, "100s", longest="100s")) as channel:
        await leave_two_calls(channel, after=1)
        await trio.sleep(1_000)
        assert channel.calls == 0
    assert flaky.attempts == ["", ""]


async def test_a_cancelled_wait_can_be_resumed(autojump_clock: trio.abc.Clock) -> None:
    flaky = Flaky((Status.UNAVAILABLE, "10000"))
    began = trio.current_time()
    async with flaky.channel(retrying()) as channel, call(channel, "One", UNARY) as stream:
        await stream.send_message(b"x")
        for _ in range(3):
            with trio.move_on_after(2):
                await stream.recv_message()
        assert await stream.recv_message() == b"x"
    assert trio.current_time() - began == pytest.approx(10)
    assert flaky.attempts == ["", "1"]
