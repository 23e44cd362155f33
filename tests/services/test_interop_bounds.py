"""Requests that gRPC's interoperability test service refuses, and what its calls do not keep in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any
from weakref import ref

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from echo.pb.grpc import testing
from echo.rpc import GRPCError, Server, Status
from echo.rpc.codec import ProtoCodec
from echo.rpc.dispatch import INTERNAL
from echo.rpc.testing import memory_channel_to
from echo.services import echo_services, large
from echo.services.interop.parameters import MOST_RESPONSES
from echo.services.interop.testing import LARGEST_SUM
from echo.services.protobuf import Messages
from tests.support.interop import METHODS, SERVICE, call, interop_channel, open_call, output, payload
from tests.support.services import BytesCodec

OUTPUT = ["StreamingOutputCall", "FullDuplexCall", "HalfDuplexCall"]
LARGEST = 4 * 2**20 - 512


@pytest.mark.parametrize("size", [-1, -(2**31), LARGEST + 1, 2**31 - 1])
async def test_a_size_that_is_not_possible_is_refused(size: int) -> None:
    async with interop_channel() as channel:
        seen = await call(channel, "UnaryCall", testing.SimpleRequest(response_size=size))
        assert seen.status is Status.INVALID_ARGUMENT
        assert seen.message == f"response_size: {size} bytes are not possible (0 to {LARGEST})"
        for method in OUTPUT:
            seen = await call(channel, method, output(1, size))
            assert (seen.status, seen.sizes) == (Status.INVALID_ARGUMENT, [])
            assert seen.message == f"size: {size} bytes are not possible (0 to {LARGEST})"


@pytest.mark.parametrize("limit", [512, 1_000, 100_000])
async def test_the_largest_response_is_within_the_limit_of_messages(limit: int) -> None:
    async with interop_channel(max_message_size=limit) as channel:
        largest = testing.SimpleRequest(response_size=limit - 512, fill_server_id=True)
        (response,) = (await call(channel, "UnaryCall", largest)).responses
        assert limit - 512 < len(bytes(response)) <= limit
        seen = await call(channel, "UnaryCall", testing.SimpleRequest(response_size=limit - 511))
        assert seen.status is Status.INVALID_ARGUMENT


async def test_intervals_are_neither_negative_nor_longer_than_an_hour(autojump_clock: trio.testing.MockClock) -> None:
    def every(*intervals: int) -> testing.StreamingOutputCallRequest:
        return testing.StreamingOutputCallRequest(
            response_parameters=[testing.ResponseParameters(interval_us=interval) for interval in intervals]
        )

    async with interop_channel() as channel:
        for method in OUTPUT:
            seen = await call(channel, method, every(0, -1))
            assert (seen.status, seen.message) == (Status.INVALID_ARGUMENT, "interval_us: -1 is negative")
            seen = await call(channel, method, every(1_800_000_000, 1_800_000_001))
            assert seen.status is Status.INVALID_ARGUMENT
            assert seen.message == "interval_us: the responses would take 3600 s (at most 3600)"
            assert (await call(channel, method, every(1_800_000_000, 1_800_000_000))).sizes == [0, 0]


@pytest.mark.parametrize("method", OUTPUT)
async def test_responses_are_not_more_than_a_thousand_to_a_request(method: str) -> None:
    async with interop_channel() as channel:
        seen = await call(channel, method, output(*[0] * (MOST_RESPONSES + 1)))
        assert seen.status is Status.INVALID_ARGUMENT
        assert seen.message == "response_parameters: 1001 responses are too many (at most 1000)"
        assert (await call(channel, method, output(*[0] * MOST_RESPONSES))).sizes == [0] * MOST_RESPONSES


async def test_a_thousand_responses_is_the_most_of_all_requests_of_a_half_duplex_call() -> None:
    async with interop_channel() as channel:
        half = output(*[0] * (MOST_RESPONSES // 2))
        assert (await call(channel, "HalfDuplexCall", half, half, output(0))).status is Status.INVALID_ARGUMENT
        assert len((await call(channel, "FullDuplexCall", half, half, output(0))).sizes) == MOST_RESPONSES + 1


async def test_a_million_responses_are_refused_at_once() -> None:
    async with raw_messages() as send:
        with trio.fail_after(20):
            status, message = await send("StreamingOutputCall", b"\x12\x00" * 2_000_000)
    assert status is Status.INVALID_ARGUMENT
    assert message == "response_parameters: 2000000 responses are too many (at most 1000)"


@pytest.mark.parametrize("code", [-1, 17, 99, 2**31 - 1])
async def test_a_status_that_there_is_not_is_refused(code: int) -> None:
    async with interop_channel() as channel:
        request = testing.SimpleRequest(response_status=testing.EchoStatus(code=code))
        seen = await call(channel, "UnaryCall", request)
    assert seen.status is Status.INVALID_ARGUMENT
    assert seen.message == f"response_status: {code} is not the code of a status"


async def test_a_status_message_is_not_longer_than_a_head_may_be() -> None:
    async with interop_channel() as channel:
        longest = testing.EchoStatus(code=3, message="😈" * 1_024)
        seen = await call(channel, "UnaryCall", testing.SimpleRequest(response_status=longest))
        assert seen.message == longest.message
        longer = testing.EchoStatus(code=3, message="a" * 1_025)
        seen = await call(channel, "UnaryCall", testing.SimpleRequest(response_status=longer))
        assert seen.message == "response_status: a message of 1025 characters is too long (at most 1024)"


@pytest.mark.parametrize("method", ["UnaryCall", *OUTPUT])
async def test_an_unknown_type_of_payload_is_refused(method: str) -> None:
    kind = testing.PayloadType.try_value(1)
    request = testing.SimpleRequest(kind) if method == "UnaryCall" else testing.StreamingOutputCallRequest(kind)
    async with interop_channel() as channel:
        seen = await call(channel, method, request)
    assert seen.status is Status.INVALID_ARGUMENT
    assert seen.message == "response_type: 1 is not a known PayloadType"


async def test_a_sum_that_the_response_can_t_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echo.services.interop.testing.LARGEST_SUM", 1_000)
    request = testing.StreamingInputCallRequest(payload=payload(500))
    async with interop_channel() as channel:
        assert (await call(channel, "StreamingInputCall", request, request)).status is Status.OK
        seen = await call(channel, "StreamingInputCall", request, request, request)
    assert (seen.status, seen.message) == (Status.OUT_OF_RANGE, "the payloads have more than 1000 bytes")


def test_the_largest_sum_is_the_largest_that_the_response_can_hold() -> None:
    descriptors = files("echo.pb").joinpath("descriptors.binpb").read_bytes()
    response: Any = Messages(descriptors)("grpc.testing.StreamingInputCallResponse")
    assert response(aggregated_payload_size=LARGEST_SUM).aggregated_payload_size == LARGEST_SUM
    with pytest.raises(ValueError, match="out of range"):
        response(aggregated_payload_size=LARGEST_SUM + 1)


class Kept:
    """A message that can be watched as it goes."""

    def __init__(self, message: object) -> None:
        self._message = message

    def __getattr__(self, name: str) -> object:
        return getattr(self._message, name)


class KeepingCodec(ProtoCodec):
    """Notes each message that a handler received, without holding it."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[ref[Kept]] = []

    def decode(self, data: bytes, message_type: Any) -> Any:
        kept = Kept(super().decode(data, message_type))
        self.received.append(ref(kept))
        return kept


@pytest.mark.parametrize("method", ["StreamingOutputCall", "StreamingInputCall", "FullDuplexCall", "HalfDuplexCall"])
async def test_a_stream_that_waits_holds_no_request(method: str) -> None:
    codec = KeepingCodec()
    if method == "StreamingInputCall":
        request: object = testing.StreamingInputCallRequest(payload=payload(1_000_000))
    else:
        interval = testing.ResponseParameters(interval_us=1_000_000_000)
        request = testing.StreamingOutputCallRequest(response_parameters=[interval], payload=payload(1_000_000))
    server = Server(echo_services(interop=True).services, codec=codec)
    async with memory_channel_to(server) as channel, open_call(channel, method) as stream:
        await stream.send_message(request)
        await trio.testing.wait_all_tasks_blocked()
        assert server.calls == 1
        assert [received() for received in codec.received] == [None]
        await stream.cancel()


@pytest.mark.parametrize("method", ["UnaryCall", "FullDuplexCall"])
async def test_large_responses_that_wait_for_their_clients_are_bounded(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "MOST_LARGE", 2_000_000)
    size = 1_940_000  # If a response of 64 KiB counted, it would not fit as well.
    request = testing.SimpleRequest(response_size=size) if method == "UnaryCall" else output(size)
    async with interop_channel(max_message_size=2_000_000) as channel:
        async with open_call(channel, method) as slow:
            await slow.send_message(request)
            await trio.testing.wait_all_tasks_blocked()
            seen = await call(channel, method, request)
            assert seen.status is Status.RESOURCE_EXHAUSTED
            assert seen.message == "too many large responses are waiting for their clients"
            small = testing.SimpleRequest(response_size=64 * 1024)
            assert (await call(channel, "UnaryCall", small)).sizes == [64 * 1024]
            await slow.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert (await call(channel, method, request)).sizes == [size]


class CountingCodec(ProtoCodec):
    """Counts the messages that are sent."""

    sent = 0

    def encode(self, message: object, message_type: type) -> bytes:
        self.sent += 1
        return super().encode(message, message_type)


async def test_large_responses_leave_turns_to_other_calls_though_compressed_they_are_small() -> None:
    responses, codec = 50, CountingCodec()
    asked = testing.ResponseParameters(size=100_000, compressed=testing.BoolValue(value=True))
    request = testing.StreamingOutputCallRequest(response_parameters=[asked] * responses)
    server = Server(echo_services(interop=True).services, codec=codec)
    async with memory_channel_to(server) as channel, open_call(channel, "StreamingOutputCall") as stream:
        await stream.send_message(request)
        await call(channel, "EmptyCall", testing.Empty())
        assert codec.sent < responses
        await stream.cancel()


@given(st.binary(max_size=200), st.sampled_from(["UnaryCall", "CacheableUnaryCall", "StreamingInputCall", *OUTPUT]))
async def test_whatever_bytes_come_are_no_bug(body: bytes, method: str) -> None:
    async with raw_messages() as send:
        _, message = await send(method, body)
    assert message != INTERNAL


@asynccontextmanager
async def raw_messages() -> AsyncIterator[Callable[[str, bytes], Awaitable[tuple[Status, str | None]]]]:
    """What calls a method with one request of these bytes, and tells how that ended."""
    server = Server(echo_services(interop=True).services)
    async with memory_channel_to(server, codec=BytesCodec()) as channel:

        async def send(method: str, body: bytes) -> tuple[Status, str | None]:
            kind = METHODS[method][0]
            try:
                async with channel.request(f"{SERVICE}/{method}", kind, bytes, bytes, timeout=10) as stream:
                    await stream.send_message(body)
                    if kind.client_streaming:
                        await stream.end()
                    while await stream.recv_message() is not None:
                        pass
            except GRPCError as error:
                return error.status, error.message
            return Status.OK, None

        yield send
