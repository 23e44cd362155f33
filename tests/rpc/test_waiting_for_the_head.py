"""A caller can limit its wait for the response's head: the wait can be cancelled, and does not block other tasks."""

import pytest
import trio

from echo.rpc import GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from tests.support.services import BIDI, CODEC, BytesStream, Service, path


async def late(stream: BytesStream) -> None:
    await trio.sleep(10)
    async for message in stream:
        await stream.send_message(message)


async def test_waiting_for_the_head_can_be_given_up_and_taken_up_again(autojump_clock: trio.abc.Clock) -> None:
    async with (
        memory_channel_to(Server([Service(Late=(BIDI, late))], codec=CODEC), codec=CODEC) as channel,
        channel.request(path("Late"), BIDI, bytes, bytes) as stream,
    ):
        await stream.send_message(b"hi")
        for _ in range(2):
            with trio.move_on_after(3) as patience:
                await stream.recv_initial_metadata()
            assert patience.cancelled_caught
            assert stream.initial_metadata is None
        await stream.end()
        assert await stream.recv_message() == b"hi"
        assert await stream.recv_message() is None


async def test_a_call_without_a_head_that_is_cancelled_ends_for_its_receiver(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with (
        memory_channel_to(Server([Service(Late=(BIDI, late))], codec=CODEC), codec=CODEC) as channel,
        channel.request(path("Late"), BIDI, bytes, bytes) as stream,
    ):
        failures: list[Status] = []

        async def receive() -> None:
            with pytest.raises(GRPCError) as raised:
                await stream.recv_message()
            failures.append(raised.value.status)

        await stream.send_request()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            with trio.move_on_after(3) as patience:
                await stream.recv_initial_metadata()
            assert patience.cancelled_caught
            await stream.cancel()
        assert failures == [Status.CANCELLED]
