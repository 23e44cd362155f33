"""What becomes of a call when the server answers oddly, resets or goes away, in hand-written HTTP/2 on a real socket.

Each looks at what the caller gets, at the next call of the same channel, and at what is left over.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, GoAwayFrame, RstStreamFrame

from echo.rpc import Channel, GRPCError, Limits, Server, Status, open_channel
from echo.wire.message import encode_message
from tests.support.leaks import no_leaks
from tests.support.raw import SETTINGS, SETTINGS_ACK, Behave, RawConnection, raw_server
from tests.support.services import CLIENT_STREAM, ECHO, UNARY, BytesCodec, BytesStream, Service, call, path, unary
from tests.support.serving import LOOPBACK, serving

CODEC = BytesCodec()
HEAD = [(":status", "200"), ("content-type", "application/grpc")]

Answer = Callable[[RawConnection, int], bytes]


def reply(connection: RawConnection, stream_id: int) -> bytes:
    """A sound answer."""
    return (
        connection.head(stream_id, HEAD)
        + DataFrame(stream_id, data=encode_message(b"fine")).serialize()
        + connection.head(stream_id, [("grpc-status", "0")], end=True)
    )


def first(answer: Answer) -> Behave:
    """Calls of the method Odd are answered so, all others soundly."""

    async def behave(connection: RawConnection, stream_id: int) -> None:
        odd = connection.streams[stream_id].fields[":path"] == path("Odd")
        await connection.send((answer if odd else reply)(connection, stream_id))

    return behave


@asynccontextmanager
async def channel_to(behave: Behave, *, begin: bytes = SETTINGS + SETTINGS_ACK) -> AsyncIterator[Channel]:
    async with (
        no_leaks() as leaks,
        raw_server(behave, begin=begin) as port,
        open_channel(LOOPBACK, port, codec=CODEC) as channel,
    ):
        leaks.watch(channel)
        yield channel
        await leaks.no_calls()


async def is_told(answer: Answer) -> GRPCError:
    """What a caller gets for a call with such an answer; its channel, and another one, go on."""
    async with channel_to(first(answer)) as channel:
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "Odd", timeout=30)
        assert await unary(channel, "Any", timeout=30) == b"fine"
    return raised.value


async def test_a_call_without_messages_is_half_closed_by_a_data_frame_of_its_own() -> None:
    frames: list[tuple[int, int]] = []

    async def behave(connection: RawConnection, stream_id: int) -> None:
        frames.append((connection.kinds["Headers"], connection.kinds["Data"]))
        await connection.send(reply(connection, stream_id))

    async with channel_to(behave) as channel, call(channel, "Count", CLIENT_STREAM, timeout=30) as stream:
        await stream.send_request(end=True)
        assert await stream.recv_message() == b"fine"
    assert frames == [(1, 1)]


RESETS: dict[int, Status] = {
    ErrorCodes.REFUSED_STREAM: Status.UNAVAILABLE,
    ErrorCodes.CANCEL: Status.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}
CODES = [*ErrorCodes, 0xBEEF]


@pytest.mark.parametrize("code", CODES, ids=lambda code: getattr(code, "name", hex(code)))
@pytest.mark.parametrize("when", ["at once", "after the head", "within a message"])
async def test_a_reset_is_told_as_its_status(code: int, when: str) -> None:
    def answer(connection: RawConnection, stream_id: int) -> bytes:
        head = b"" if when == "at once" else connection.head(stream_id, HEAD)
        data = DataFrame(stream_id, data=b"\x00\x00\x00\x00\x09half").serialize() if when == "within a message" else b""
        return head + data + RstStreamFrame(stream_id, error_code=code).serialize()

    assert (await is_told(answer)).status is RESETS.get(code, Status.INTERNAL)


HTTP = {
    400: Status.INTERNAL,
    431: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    429: Status.UNAVAILABLE,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
    500: Status.UNKNOWN,
    302: Status.UNKNOWN,
    418: Status.UNKNOWN,
}


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("page", [b"", b"<html>sorry</html>"], ids=["bare", "with a page"])
async def test_an_http_status_without_a_grpc_status_is_told_as_its_status(http: int, page: bytes) -> None:
    def answer(connection: RawConnection, stream_id: int) -> bytes:
        head = connection.head(stream_id, [(":status", str(http)), ("content-type", "text/html")], end=not page)
        return head + (DataFrame(stream_id, data=page, flags=["END_STREAM"]).serialize() if page else b"")

    told = await is_told(answer)
    assert told.status is HTTP[http]
    assert told.message is not None
    assert str(http) in told.message


@pytest.mark.parametrize(
    ("sent", "text"),
    [("100%", "100%"), ("%zz top", "%zz top"), ("%C3%28", "\ufffd("), ("caf%C3%A9 100%2", "café 100%2"), ("", "")],
)
async def test_a_malformed_grpc_message_is_passed_on(sent: str, text: str) -> None:
    def answer(connection: RawConnection, stream_id: int) -> bytes:
        return connection.head(stream_id, [*HEAD, ("grpc-status", "9"), ("grpc-message", sent)], end=True)

    told = await is_told(answer)
    assert (told.status, told.message) == (Status.FAILED_PRECONDITION, text)


def trailers_only(*more: tuple[str, str]) -> Answer:
    return lambda connection, stream_id: connection.head(stream_id, [*HEAD, *more], end=True)


def with_data(data: bytes, *, end: bool = False) -> Answer:
    def answer(connection: RawConnection, stream_id: int) -> bytes:
        frame = DataFrame(stream_id, data=data, flags=["END_STREAM"] if end else [])
        return connection.head(stream_id, HEAD) + frame.serialize()

    return answer


ODD_ANSWERS: dict[str, tuple[Answer, Status]] = {
    "no status at all": (trailers_only(), Status.UNKNOWN),
    "a status that is no number": (trailers_only(("grpc-status", "x")), Status.UNKNOWN),
    "OK without the reply": (trailers_only(("grpc-status", "0")), Status.UNIMPLEMENTED),
    "bad base64 in a -bin trailer": (trailers_only(("grpc-status", "0"), ("x-bin", "!!")), Status.INTERNAL),
    "END_STREAM after the reply": (with_data(encode_message(b"x"), end=True), Status.UNKNOWN),
    "4 GiB in the length prefix": (with_data(b"\x00\xff\xff\xff\xff"), Status.RESOURCE_EXHAUSTED),
    "flag byte 2": (with_data(b"\x02\x00\x00\x00\x00"), Status.INTERNAL),
    "compressed flag without grpc-encoding": (with_data(b"\x01\x00\x00\x00\x00"), Status.INTERNAL),
    "a message cut short before OK": (
        lambda to, stream_id: (
            with_data(encode_message(b"x")[:-1])(to, stream_id) + to.head(stream_id, [("grpc-status", "0")], end=True)
        ),
        Status.INTERNAL,
    ),
    "an encoding nobody knows": (
        lambda to, stream_id: to.head(stream_id, [*HEAD, ("grpc-encoding", "snappy")]),
        Status.INTERNAL,
    ),
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
async def test_an_invalid_answer_is_reported_and_the_next_call_succeeds(name: str) -> None:
    answer, status = ODD_ANSWERS[name]
    assert (await is_told(answer)).status is status


async def test_after_a_goaway_running_calls_finish_and_the_next_goes_to_a_fresh_connection() -> None:
    connections: list[RawConnection] = []

    async def behave(connection: RawConnection, stream_id: int) -> None:
        if connection not in connections:
            connections.append(connection)
            await connection.send(GoAwayFrame(0, last_stream_id=stream_id))
            await connection.pause()
        await connection.send(reply(connection, stream_id))

    async with channel_to(behave) as channel:
        for number in range(1, 4):
            assert await unary(channel, "Any", timeout=30) == b"fine"
            assert len(connections) == number


async def test_calls_above_the_last_stream_of_a_goaway_are_made_anew_and_those_below_finish() -> None:
    heard: list[list[int]] = []
    both = trio.Event()

    async def behave(connection: RawConnection, stream_id: int) -> None:
        if stream_id == 1 and not heard:
            heard.append([])
            # The second call comes meanwhile: it is above, the first is not.
            await connection.until(lambda: 3 in connection.streams and connection.streams[3].over)
            both.set()
            await connection.send(GoAwayFrame(0, last_stream_id=1))
            await connection.pause()
            await connection.send(reply(connection, 1))
        elif stream_id == 1:
            heard.append([stream_id])
            await connection.send(reply(connection, stream_id))

    async with channel_to(behave) as channel, trio.open_nursery() as nursery:
        replies: list[bytes] = []

        async def one() -> None:
            replies.append(await unary(channel, "Any", timeout=30))

        nursery.start_soon(one)
        nursery.start_soon(one)
        await both.wait()
    assert replies == [b"fine", b"fine"]
    assert heard == [[], [1]]


async def test_ten_calls_of_a_server_that_takes_one_at_a_time_succeed_in_turn() -> None:
    running = most = 0

    async def slowly(stream: BytesStream) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await stream.send_message(await stream.recv_message() or b"")
        running -= 1

    server = Server([Service(Slowly=(UNARY, slowly)), ECHO], codec=CODEC, limits=Limits(max_concurrent_streams=1))
    async with no_leaks() as leaks, serving(server) as port, open_channel(LOOPBACK, port, codec=CODEC) as channel:
        leaks.watch(server, channel)
        replies: list[bytes] = []

        async def one(number: int) -> None:
            replies.append(await unary(channel, "Slowly", b"%d" % number, timeout=30))

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(one, number)
        assert sorted(replies) == [b"%d" % number for number in range(10)]
        assert most == 1
        assert channel.connections == 1


async def test_a_server_that_vanishes_within_a_call_is_unavailable_and_found_again() -> None:
    async def behave(connection: RawConnection, stream_id: int) -> None:
        if connection.streams[stream_id].fields[":path"] == path("Odd"):
            await connection.close()
        else:
            await connection.send(reply(connection, stream_id))

    async with channel_to(behave) as channel:
        async with call(channel, "Any", UNARY, timeout=30) as stream:
            await stream.send_message(b"", end=True)
            assert await stream.recv_message() == b"fine"
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "Odd", timeout=30)
        assert raised.value.status is Status.UNAVAILABLE
        assert await unary(channel, "Any", timeout=30) == b"fine"
