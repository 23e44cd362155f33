"""Interceptors: contexts around calls, on server and client, for all four kinds of calls."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.pb.com.gopay.echo.streaming import StreamingServerStub, StreamMessage
from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, Server, ServerStream, Status, bind
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.services import EchoService, StreamingEchoService
from tests.support.services import UNARY, BytesCodec, BytesStream, Service, call, on_both_loops

Interceptor = Callable[[Any], Any]
PACKAGE = "/com.gopay.echo"
STREAMING = f"{PACKAGE}.streaming.StreamingServer"


def noting(notes: list[str], name: str = "") -> Interceptor:
    @asynccontextmanager
    async def note(call: Any) -> AsyncGenerator[None, None]:
        notes.append(f"{name}> {call.path}")
        try:
            yield
        except BaseException as error:
            notes.append(f"{name}! {type(error).__name__}")
            raise
        notes.append(f"{name}< {call.path}")

    return note


async def unary(channel: Channel) -> None:
    await ServerStub(channel).get_reply(Message("x"))


async def stream_in(channel: Channel) -> None:
    async with bind(StreamingServerStub, channel) as stub:
        await stub.client_stream([StreamMessage("a")])


async def stream_out(channel: Channel) -> None:
    call = channel.request(
        f"{STREAMING}/ServerStream", Cardinality.UNARY_STREAM, StreamMessage, StreamMessage, timeout=30
    )
    async with call as stream:
        await stream.send_message(StreamMessage("a"))
        await stream.recv_message()
        await stream.cancel()


async def stream_both(channel: Channel) -> None:
    async with bind(StreamingServerStub, channel) as stub:
        assert len([reply async for reply in stub.bidirectional_stream([StreamMessage("a")])]) == 1


@asynccontextmanager
async def opened(
    *, server: list[Interceptor] | None = None, client: list[Interceptor] | None = None
) -> AsyncIterator[Channel]:
    serving = Server([EchoService(), StreamingEchoService()], interceptors=server or [])
    async with memory_channel_to(serving, interceptors=client or []) as channel:
        yield channel


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (unary, f"{PACKAGE}.Server/GetReply"),
        (stream_in, f"{STREAMING}/ClientStream"),
        (stream_both, f"{STREAMING}/BidirectionalStream"),
    ],
)
@on_both_loops
async def test_every_kind_of_call_is_within_them_on_both_sides(
    call: Callable[[Channel], Awaitable[None]], path: str
) -> None:
    notes: list[str] = []
    async with opened(server=[noting(notes, "server")], client=[noting(notes, "client")]) as channel:
        await call(channel)
    assert notes == [f"client> {path}", f"server> {path}", f"server< {path}", f"client< {path}"]


@on_both_loops
async def test_a_handler_that_is_cancelled_is_cancelled_within_them() -> None:
    notes: list[str] = []
    async with opened(server=[noting(notes)]) as channel:
        await stream_out(channel)
    assert notes[0] == f"> {STREAMING}/ServerStream"
    assert notes[1].startswith("! Cancelled")


@pytest.mark.parametrize(
    ("message", "status"), [("x", Status.OK), ("none", Status.NOT_FOUND), ("bug", Status.INTERNAL)]
)
@pytest.mark.parametrize("own", [{}, {"x-own": "2"}])
@on_both_loops
async def test_they_add_to_the_trailing_metadata_however_the_call_ends(
    message: str, status: Status, own: dict[str, str]
) -> None:
    @asynccontextmanager
    async def tagged(call: ServerStream[Any, Any]) -> AsyncGenerator[None, None]:
        call.trailing_metadata["x-tag"] = "1"
        yield

    async def answer(stream: BytesStream) -> None:
        request = await stream.recv_message()
        if request == b"none":
            raise GRPCError(Status.NOT_FOUND)
        if request == b"bug":
            raise ValueError
        await stream.send_message(b"")
        if own:
            await stream.send_trailing_metadata(metadata=own)

    server = Server([Service(One=(UNARY, answer))], codec=BytesCodec(), interceptors=[tagged])
    async with memory_channel_to(server, codec=BytesCodec()) as channel, call(channel, "One", UNARY) as stream:
        await stream.send_message(message.encode())
        ended = Status.OK
        try:
            await stream.recv_message()
        except GRPCError as error:
            ended = error.status
        assert ended is status
        assert stream.trailing_metadata == {"x-tag": "1"} | (own if status is Status.OK else {})


@on_both_loops
async def test_trailing_metadata_are_not_in_the_head_of_the_response() -> None:
    @asynccontextmanager
    async def tagged(call: ServerStream[Any, Any]) -> AsyncGenerator[None, None]:
        call.trailing_metadata["x-tag"] = "1"
        yield

    async def answer(stream: BytesStream) -> None:
        await stream.send_initial_metadata(metadata={"x-head": "2"})
        await stream.send_message(b"")

    server = Server([Service(One=(UNARY, answer))], codec=BytesCodec(), interceptors=[tagged])
    async with memory_channel_to(server, codec=BytesCodec()) as channel, call(channel, "One", UNARY) as stream:
        await stream.send_message(b"")
        await stream.recv_message()
        await stream.recv_trailing_metadata()
        assert stream.initial_metadata == {"x-head": "2"}
        assert stream.trailing_metadata == {"x-tag": "1"}


@on_both_loops
async def test_trailing_metadata_that_cannot_be_sent_fail_the_call(caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def tagged(call: ServerStream[Any, Any]) -> AsyncGenerator[None, None]:
        call.trailing_metadata["Not A Key"] = "1"
        yield

    async with opened(server=[tagged]) as channel:
        for _ in range(2):  # The connection stays.
            with pytest.raises(GRPCError, match="INTERNAL"):
                await unary(channel)
    assert "metadata key 'Not A Key' has characters" in caplog.text
    caplog.clear()


@on_both_loops
async def test_the_first_one_is_outermost() -> None:
    notes: list[str] = []
    interceptors = [noting(notes, "1"), noting(notes, "2")]
    async with opened(server=interceptors) as channel:
        await unary(channel)
    async with opened(client=interceptors) as channel:
        await unary(channel)
    assert [note[:2] for note in notes] == ["1>", "2>", "2<", "1<"] * 2


@on_both_loops
async def test_a_call_is_refused_by_raising() -> None:
    @asynccontextmanager
    async def authenticated(call: ServerStream[Any, Any]) -> AsyncIterator[None]:
        assert call.metadata is not None
        if call.metadata.get("authorization") != "secret":
            raise GRPCError(Status.UNAUTHENTICATED, "who are you?")
        yield

    @asynccontextmanager
    async def authenticating(call: ClientStream[Any, Any]) -> AsyncIterator[None]:
        call.metadata["authorization"] = "secret"
        yield

    async with opened(server=[authenticated]) as channel:
        with pytest.raises(GRPCError, match="who are you"):
            await unary(channel)
    async with opened(server=[authenticated], client=[authenticating]) as channel:
        await unary(channel)


@on_both_loops
async def test_the_outermost_interceptor_s_exception_decides_the_status() -> None:
    @asynccontextmanager
    async def translating(call: ServerStream[Any, Any]) -> AsyncIterator[None]:
        try:
            yield
        except GRPCError as error:
            raise GRPCError(Status.NOT_FOUND, f"it was {error.status.name}") from error

    async with opened(server=[translating]) as channel, bind(StreamingServerStub, channel) as stub:
        with pytest.raises(GRPCError, match="it was INVALID_ARGUMENT") as raised:
            await stub.client_stream([StreamMessage("")])
    assert raised.value.status is Status.NOT_FOUND


@on_both_loops
async def test_a_bug_in_an_interceptor_is_reported_like_any_other() -> None:
    @asynccontextmanager
    async def buggy(call: ServerStream[Any, Any]) -> AsyncIterator[None]:
        if call.path:
            raise ZeroDivisionError("secret")
        yield

    async with opened(server=[buggy]) as channel:
        with pytest.raises(GRPCError) as raised:
            await unary(channel)
    assert (raised.value.status, raised.value.message) == (Status.INTERNAL, "internal server error")


@on_both_loops
async def test_client_interceptors_see_how_the_call_failed_and_its_metadata() -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def looking(call: ClientStream[Any, Any]) -> AsyncIterator[None]:
        try:
            yield
        except GRPCError as error:
            seen.append((error.status, call.trailing_metadata is not None))
            raise

    async with memory_channel([]) as plain:
        plain.interceptors = (looking,)
        with pytest.raises(GRPCError):
            await unary(plain)
        # Sent, but not received: the failure is found out in leaving the block.
        call = plain.request("/a.B/C", Cardinality.UNARY_UNARY, Message, Message)
        with pytest.raises(GRPCError):
            async with call as stream:
                await stream.send_message(Message("x"), end=True)
    assert seen == [(Status.UNIMPLEMENTED, True)] * 2


@on_both_loops
async def test_an_interceptor_that_fails_first_leaves_the_outer_ones() -> None:
    notes: list[str] = []

    @asynccontextmanager
    async def failing(call: ClientStream[Any, Any]) -> AsyncIterator[None]:
        if call.path:
            raise OSError("no token")
        yield

    async with opened(client=[noting(notes), failing]) as channel:
        with pytest.raises(OSError, match="no token"):
            await unary(channel)
        assert channel.calls == 0
    assert notes[1:] == ["! OSError"]


@on_both_loops
async def test_an_interceptor_s_time_counts_towards_the_deadline() -> None:
    @asynccontextmanager
    async def slow(call: ServerStream[Any, Any]) -> AsyncIterator[None]:
        await anyio.sleep_forever()
        yield

    async with opened(server=[slow]) as channel:
        with pytest.raises(GRPCError) as raised:
            await ServerStub(channel).get_reply(Message("x"), timeout=0.05)
    assert raised.value.status is Status.DEADLINE_EXCEEDED
