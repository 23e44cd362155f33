"""A receive that is cancelled loses no message, though the other side has not yet said that it is the only one."""

import trio

from echo.rpc.testing import memory_channel
from tests.support.services import CLIENT_STREAM, CODEC, SERVER_STREAM, UNARY, BytesStream, Service, call


async def reply_and_linger(stream: BytesStream) -> None:
    """A handler that replies, and cleans up for a while before it returns."""
    await stream.send_message(b"done")
    await trio.sleep(10)


async def ask_now_and_then(stream: BytesStream) -> None:
    """A handler that does something else while it waits for its request."""
    request = None
    while request is None:
        with trio.move_on_after(1):
            request = await stream.recv_message()
    await stream.send_message(request)


async def test_a_reply_is_received_once_the_call_ends_though_earlier_receives_were_given_up(
    autojump_clock: trio.abc.Clock,
) -> None:
    service = Service(Linger=(SERVER_STREAM, reply_and_linger))
    async with memory_channel([service], codec=CODEC) as channel, call(channel, "Linger", UNARY) as stream:
        await stream.send_message(b"")
        for _ in range(3):
            with trio.move_on_after(3) as patience:
                await stream.recv_message()
            assert patience.cancelled_caught
        assert await stream.recv_message() == b"done"
        assert await stream.recv_message() is None


async def test_a_request_is_received_once_the_client_half_closes_though_earlier_receives_were_given_up(
    autojump_clock: trio.abc.Clock,
) -> None:
    service = Service(Ask=(UNARY, ask_now_and_then))
    async with memory_channel([service], codec=CODEC) as channel, call(channel, "Ask", CLIENT_STREAM) as stream:
        await stream.send_message(b"please")
        await trio.sleep(5)
        await stream.end()
        assert await stream.recv_message() == b"please"
