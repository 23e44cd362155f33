"""Whatever frames a server sends, a call returns or raises `GRPCError`, and its channel still works.

The one exception is grpclib's `StreamTerminatedError`, for a message sent after the server ended the call with OK.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing
from grpclib.encoding.base import StatusDetailsCodecBase
from hypothesis import example, given, settings
from hypothesis import strategies as st

from echo.pb.com.gopay.echo.streaming import StreamingServerStub, StreamMessage, StreamResponse
from echo.rpc import Cardinality, ClientStream, GRPCError, Status, StreamTerminatedError, bind
from tests.support.hostile_calls import HEAD, PARTS, details, head, hostile_channel
from tests.support.services import BIDI, CLIENT_STREAM, CODEC, SERVER_STREAM, UNARY, call, unary


class Details(StatusDetailsCodecBase):
    """Details that are text."""

    def encode(self, status: Status, message: str | None, details: str) -> bytes:  # noqa: ARG002 - not of interest
        return details.encode()

    def decode(self, status: Status, message: str | None, data: bytes) -> str:  # noqa: ARG002 - nor here
        return data.decode()


# What a caller may do


async def one(stream: ClientStream[bytes, bytes]) -> None:
    await stream.send_message(b"x")
    await stream.recv_message()


async def replies(stream: ClientStream[bytes, bytes]) -> None:
    await stream.send_message(b"x")
    async for _ in stream:
        pass


async def one_after_many(stream: ClientStream[bytes, bytes]) -> None:
    for _ in range(5):
        await stream.send_message(b"x" * 20_000)
    await stream.end()
    await stream.recv_message()


async def both_ways(stream: ClientStream[bytes, bytes]) -> None:
    await stream.send_message(b"x")

    async def send() -> None:
        for _ in range(5):
            await stream.send_message(b"x" * 20_000)
            await trio.lowlevel.checkpoint()
        await stream.end()

    async def receive() -> None:
        async for _ in stream:
            pass
        await stream.recv_trailing_metadata()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tolerant, send)
        nursery.start_soon(tolerant, receive)


async def only_the_end(stream: ClientStream[bytes, bytes]) -> None:
    await stream.send_request()
    await stream.recv_initial_metadata()
    await stream.recv_trailing_metadata()


async def nothing(stream: ClientStream[bytes, bytes]) -> None:
    await stream.send_message(b"x")
    await trio.testing.wait_all_tasks_blocked()


async def tolerant(work: Callable[[], Any]) -> None:
    """Do it; it may fail in the ways a call may."""
    try:
        await work()
    except GRPCError as error:
        assert isinstance(error.status, Status)
        assert error.status is not Status.OK
    except StreamTerminatedError:
        pass


CALLERS: list[tuple[Cardinality, Callable[[ClientStream[bytes, bytes]], Any]]] = [
    (UNARY, one),
    (SERVER_STREAM, replies),
    (CLIENT_STREAM, one_after_many),
    (BIDI, both_ways),
    (BIDI, only_the_end),
    (SERVER_STREAM, nothing),
    (UNARY, nothing),
]


async def goes_well_or_fails_as_calls_do(parts: Sequence[str]) -> None:
    for cardinality, caller in CALLERS:
        chosen = [PARTS[part] for part in parts]
        async with hostile_channel(chosen, codec=CODEC, status_details_codec=Details()) as channel:

            async def whole() -> None:
                async with call(channel, "Odd", cardinality, timeout=5) as stream:  # noqa: B023 - called at once
                    await caller(stream)  # noqa: B023

            await tolerant(whole)
            assert channel.calls == 0


# The layer over h2 lets exceptions of h2's and a KeyError of its own through. They go with it, and so does this mark.


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("before", [[], ["head"], ["head", "message"]], ids=["at once", "after head", "later"])
async def test_no_frame_raises_anything_else(part: str, before: list[str], autojump_clock: trio.abc.Clock) -> None:
    await goes_well_or_fails_as_calls_do([*before, part])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("before", [[], ["head"]], ids=["at once", "after head"])
async def test_invalid_frames_raise_only_documented_errors_from_a_bound_stub(
    part: str, before: list[str], autojump_clock: trio.abc.Clock
) -> None:
    async def messages() -> AsyncIterator[StreamMessage]:
        for _ in range(5):
            yield StreamMessage(message="x" * 20_000)

    async def each(replies: AsyncIterator[StreamResponse]) -> None:
        async for _ in replies:
            pass

    chosen = [PARTS[part] for part in [*before, part]]
    async with hostile_channel(chosen) as channel, bind(StreamingServerStub, channel, timeout=5) as stub:
        await tolerant(lambda: stub.client_stream(messages()))
        await tolerant(lambda: each(stub.server_stream(StreamMessage())))
        await tolerant(lambda: each(stub.bidirectional_stream(messages())))
        assert channel.calls == 0


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("before", [[], ["head"]], ids=["at once", "after head"])
async def test_invalid_frames_do_not_break_a_health_watch(
    part: str, before: list[str], autojump_clock: trio.abc.Clock
) -> None:
    chosen = [PARTS[part] for part in [*before, part]]
    async with hostile_channel(chosen, codec=CODEC, balance="round_robin", health_service="") as channel:
        for wait_for_ready in (False, True):

            async def ask() -> None:
                await unary(channel, "Odd", timeout=5, wait_for_ready=wait_for_ready)  # noqa: B023 - called at once

            await tolerant(ask)
            await trio.sleep(60)
        assert channel.calls == 0


@given(st.lists(st.sampled_from(sorted(PARTS)), min_size=2, max_size=6))
@settings(max_examples=100, deadline=None)
@example(["goaway below", "head"])
def test_no_sequence_of_frames_raises_anything_else(parts: list[str]) -> None:
    trio.run(goes_well_or_fails_as_calls_do, parts, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_details_that_cannot_be_read_leave_the_status_and_its_message() -> None:
    answer = head([*HEAD, ("grpc-status", "5"), ("grpc-message", "not here"), details(b"\xff")], end=True)
    async with hostile_channel([answer], codec=CODEC, status_details_codec=Details()) as channel:
        with pytest.raises(GRPCError) as raised:
            async with call(channel, "Odd", UNARY) as stream:
                await one(stream)
        error = raised.value
        assert (error.status, error.message, error.details) == (Status.NOT_FOUND, "not here", None)


async def test_details_that_can_be_read_are() -> None:
    answer = head([*HEAD, ("grpc-status", "5"), details(b"why")], end=True)
    async with hostile_channel([answer], codec=CODEC, status_details_codec=Details()) as channel:
        with pytest.raises(GRPCError) as raised:
            async with call(channel, "Odd", UNARY) as stream:
                await one(stream)
        assert raised.value.details == "why"
