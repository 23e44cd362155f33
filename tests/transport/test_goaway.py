"""If a server ends a connection with an error, callers get its reason rather than a lost connection."""

import anyio
import pytest
import trio
from anyio.abc import ByteStream
from h2.errors import ErrorCodes

from echo.rpc import GRPCError, Limits, Status, open_channel_over
from echo.transport.memory import memory_stream_pair
from echo.wire.events import RequestStarted
from echo.wire.server import ServerConnection
from echo.wire.stream import Stream
from tests.support.services import BytesCodec, unary


async def accuse(stream: ByteStream, error_code: ErrorCodes, debug: bytes) -> None:
    """Take a call, send a GOAWAY that names it as taken, and leave."""
    connection = ServerConnection(Limits(), Stream)
    connection.start()
    async with stream:
        while True:
            await stream.send(connection.take_output() or b"")
            events = list(connection.receive(await stream.receive()))
            if any(isinstance(event, RequestStarted) for event in events):
                connection.goaway(error_code, debug=debug)
                await stream.send(connection.take_output())
                return


@pytest.mark.parametrize(
    ("error_code", "debug", "message"),
    [
        (
            ErrorCodes.ENHANCE_YOUR_CALM,
            b"too_many_pings",
            "the server or a proxy on the way is closing the connection (ENHANCE_YOUR_CALM: too_many_pings)",
        ),
        (ErrorCodes.PROTOCOL_ERROR, b"", "the server or a proxy on the way is closing the connection (PROTOCOL_ERROR)"),
        (ErrorCodes.NO_ERROR, b"maintenance", "the other side closed the connection"),
    ],
)
async def test_a_call_that_is_cut_off_says_what_the_server_said(
    error_code: ErrorCodes, debug: bytes, message: str
) -> None:
    async with trio.open_nursery() as nursery:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(accuse, theirs, error_code, debug)
            return ours

        with anyio.fail_after(10):
            async with open_channel_over(dial, "memory", codec=BytesCodec()) as channel:
                with pytest.raises(GRPCError) as raised:
                    await unary(channel, "One", b"x")
    assert raised.value.status is Status.UNAVAILABLE
    assert raised.value.message == f"connection to memory: {message}"
