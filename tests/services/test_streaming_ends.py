"""What ends a call of the streaming echoes early: a missing stream_id, the deadline, a client that leaves."""

import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import Cardinality, GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from echo.services import StreamingEchoService
from tests.support.streaming_echo import ALL, BIDI, CLIENT, SERVER, TAKING_MANY, Echo, echo, received


@ALL
async def test_a_message_without_a_stream_id_ends_the_call(kind: Cardinality) -> None:
    async with echo() as server:
        with pytest.raises(GRPCError) as raised:
            async with server.call(kind, timeout=5) as stream:
                await stream.send_message(StreamMessage(sequence_number=1, timestamp=1, message="hi"))
                await stream.recv_message()
        assert (raised.value.status, raised.value.message) == (Status.INVALID_ARGUMENT, "stream_id is required")


@TAKING_MANY
async def test_a_later_message_without_a_stream_id_ends_the_call_too(kind: Cardinality) -> None:
    async with echo() as server:
        with pytest.raises(GRPCError) as raised:
            async with server.call(kind, timeout=5) as stream:
                await stream.send_message(StreamMessage(stream_id="a"))
                await stream.send_message(StreamMessage())
                if kind is BIDI:
                    assert (await received(stream)).sequence_number == 1
                await stream.recv_message()
        assert (raised.value.status, raised.value.message) == (Status.INVALID_ARGUMENT, "stream_id is required")


async def test_the_deadline_passes_between_two_echoes(autojump_clock: trio.testing.MockClock) -> None:
    async with echo() as server:
        started = trio.current_time()
        numbers = []
        with pytest.raises(GRPCError) as raised:
            async with server.call(SERVER, timeout=2.5) as stream:
                await stream.send_message(StreamMessage(stream_id="a"))
                while True:
                    numbers.append((await received(stream)).sequence_number)
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        assert numbers == [1, 2, 3]
        assert trio.current_time() - started == 2.5
        await trio.testing.wait_all_tasks_blocked()
        assert server.server.calls == 0


@TAKING_MANY
async def test_the_deadline_passes_while_the_service_waits_for_a_message(
    kind: Cardinality, autojump_clock: trio.testing.MockClock
) -> None:
    async with echo() as server:
        started = trio.current_time()
        with pytest.raises(GRPCError) as raised:
            async with server.call(kind, timeout=3) as stream:
                await stream.send_message(StreamMessage(stream_id="a"))
                if kind is BIDI:
                    await received(stream)
                await stream.recv_message()
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        assert trio.current_time() - started == 3


@ALL
async def test_a_client_that_cancels_ends_the_service_s_work_without_delay(
    kind: Cardinality, mock_clock: trio.testing.MockClock
) -> None:
    async with echo() as server, server.call(kind) as stream:
        await stream.send_message(StreamMessage(stream_id="a"))
        if kind is not CLIENT:
            await received(stream)
        await trio.testing.wait_all_tasks_blocked()
        assert server.server.calls == 1  # It waits for a message, or a second that does not pass.
        await stream.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert server.server.calls == 0


@ALL
async def test_a_client_that_vanishes_ends_the_service_s_work_without_delay(
    kind: Cardinality, mock_clock: trio.testing.MockClock
) -> None:
    server = Server([StreamingEchoService()])
    async with memory_channel_to(server) as channel:
        with pytest.raises(GRPCError) as raised:
            async with Echo(server, channel).call(kind) as stream:
                await stream.send_message(StreamMessage(stream_id="a"))
                if kind is not CLIENT:
                    await received(stream)
                await trio.testing.wait_all_tasks_blocked()
                assert server.calls == 1
                channel.close()
                await trio.testing.wait_all_tasks_blocked()
                assert (server.calls, server.connections) == (0, 0)
                await stream.recv_message()
        assert raised.value.status is Status.UNAVAILABLE
