"""If a server ends a connection with an error, callers get its reason rather than a lost connection."""

from contextlib import suppress

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import ByteStream
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame

from echo.rpc import GRPCError, Limits, Server, Status, open_channel_over
from echo.transport.memory import memory_stream_pair
from echo.wire.client import ClientConnection
from echo.wire.events import CallEnded, Event, RequestStarted
from echo.wire.head import Request
from echo.wire.server import ServerConnection
from echo.wire.stream import Stream
from tests.support.pair import PREFACE, frames
from tests.support.raw import SETTINGS
from tests.support.services import ECHO, BytesCodec, path, unary


async def accuse(stream: ByteStream, error_code: ErrorCodes, debug: bytes) -> None:
    """Take a call, send a GOAWAY that names it as taken, and leave."""
    connection = ServerConnection(Limits(), Stream)
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

        with anyio.fail_after(30):
            async with open_channel_over(dial, "memory", codec=BytesCodec()) as channel:
                with pytest.raises(GRPCError) as raised:
                    await unary(channel, "One", b"x")
    assert raised.value.status is Status.UNAVAILABLE
    assert raised.value.message == f"connection to memory: {message}"


async def test_a_drain_does_not_take_back_the_reason_that_a_connection_ends_for() -> None:
    server = Server([ECHO], codec=BytesCodec())
    ours, theirs = memory_stream_pair(0)
    async with trio.open_nursery() as nursery, ours:
        nursery.start_soon(server.serve_connection, theirs)
        await ours.send(PREFACE + SETTINGS + b"\0\0\1\6\0\0\0\0\0x")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(server.drain, 10)
        await trio.testing.wait_all_tasks_blocked()
        said = b""
        with suppress(anyio.EndOfStream):
            while True:
                said += await ours.receive()
    goaways = [frame.error_code for frame in frames(said) if isinstance(frame, GoAwayFrame)]
    assert goaways == [ErrorCodes.FRAME_SIZE_ERROR]


async def test_an_open_call_says_that_its_own_client_broke_the_rules() -> None:
    server = Server([ECHO], codec=BytesCodec())
    ours, theirs = memory_stream_pair()
    client = ClientConnection(Limits(), Stream)
    client.start()
    client.open(Request(path("All"), "http", "memory"))
    said: list[Event[Stream]] = []
    async with trio.open_nursery() as nursery, ours:
        nursery.start_soon(server.serve_connection, theirs)
        await ours.send(client.take_output())
        await trio.testing.wait_all_tasks_blocked()
        await ours.send(b"\0\0\1\6\0\0\0\0\0x")  # A PING of one byte.
        with suppress(anyio.EndOfStream):
            while True:
                said += client.receive(await ours.receive())
    (trailers,) = [event.trailers for event in said if isinstance(event, CallEnded)]
    assert (trailers.status, trailers.message) == (Status.UNAVAILABLE, "the client violated HTTP/2: PING of 1 bytes")
