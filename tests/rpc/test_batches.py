"""Messages received in batches: all that have arrived, in order, and then the error that follows them."""

import pytest

from echo.rpc import GRPCError, Status
from echo.rpc.testing import memory_channel
from echo.wire.message import encode_message
from tests.support.hostile_calls import HEAD, OK, data, head, hostile_channel
from tests.support.services import BIDI, CODEC, ECHO, SERVER_STREAM, BytesStream, Service, call, on_both_loops


async def refuse(stream: BytesStream) -> None:
    for number in range(3):
        await stream.send_message(b"%d" % number)
    raise GRPCError(Status.ABORTED, "enough")


@on_both_loops
async def test_each_message_comes_once_in_order_and_then_none() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel, call(channel, "Repeat", SERVER_STREAM) as stream:
        await stream.send_message(b"1000")
        batches = []
        while batch := await stream.recv_messages():
            batches.append(batch)
        assert [message for batch in batches for message in batch] == [b"%d" % number for number in range(1000)]
        assert len(batches) < 500
        assert await stream.recv_messages() == []


@on_both_loops
async def test_a_message_is_not_kept_waiting_for_the_next() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel, call(channel, "All", BIDI) as stream:
        for number in range(3):
            await stream.send_message(b"%d" % number)
            assert await stream.recv_messages() == [b"%d" % number]


@on_both_loops
async def test_how_a_call_failed_is_raised_after_its_messages() -> None:
    async with (
        memory_channel([Service(Refuse=(SERVER_STREAM, refuse))], codec=CODEC) as channel,
        call(channel, "Refuse", SERVER_STREAM) as stream,
    ):
        await stream.send_message(b"")
        received: list[bytes] = []
        with pytest.raises(GRPCError, match="enough"):
            while True:
                received += await stream.recv_messages()
        assert received == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    ("unsound", "text"),
    [(encode_message(b"undecodable"), "not a valid bytes"), (b"\x02\x00\x00\x00\x01x", "unknown flag 2")],
)
async def test_valid_messages_before_an_invalid_one_are_received(unsound: bytes, text: str) -> None:
    parts = [head(HEAD), data(encode_message(b"a") + encode_message(b"b") + unsound), head(OK, end=True)]
    async with hostile_channel(parts, codec=CODEC) as channel:
        with pytest.raises(GRPCError, match=text) as raised:
            async with call(channel, "Any", SERVER_STREAM) as stream:
                await stream.send_message(b"")
                assert await stream.recv_messages() == [b"a", b"b"]
                await stream.recv_messages()
        assert raised.value.status is Status.INTERNAL
