"""The compressed messages of gRPC's interoperability tests, as they are on the wire: each by itself, or not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from echo.pb.grpc import testing
from echo.rpc import Server, Status
from echo.services import echo_services
from echo.wire.message import MessageDecoder, encode_compressed, encode_message
from tests.support.http2_frames import data
from tests.support.interop import SERVICE, payload
from tests.support.raw import Heard, raw_client
from tests.support.serving import serving
from tests.support.target import request

YES, NO = testing.BoolValue(value=True), testing.BoolValue(value=False)
MAX_SIZE: Final = 4 * 2**20
Asked = list[tuple[int, testing.BoolValue | None]]

Call = Callable[..., Awaitable[Heard]]


@asynccontextmanager
async def calling(*, accepting: str | None = "identity,gzip", compression: str | None = None) -> AsyncIterator[Call]:
    """What makes a call by hand: its messages, and which of them are compressed."""
    server = Server(echo_services(interop=True).services, compression=compression)
    async with serving(server) as port, raw_client(port) as client:

        async def call(method: str, *messages: tuple[object, bool]) -> Heard:
            head = request(f"{SERVICE}/{method}", grpc_encoding="gzip", grpc_accept_encoding=accepting)
            sent = b"".join(
                encode_compressed("gzip", bytes(message), always=True) if compressed else encode_message(bytes(message))  # type: ignore[call-overload]
                for message, compressed in messages
            )
            await client.send(client.head(1, head), data(1, sent, end=True))
            return await client.heard(1)

        yield call


def responses(heard: Heard, response: Any) -> list[tuple[int, bool]]:
    """Of each response the size of its payload, and whether it came compressed."""
    decoder, found = MessageDecoder(MAX_SIZE, heard.fields.get("grpc-encoding")), []
    decoder.feed(heard.data)
    while (message := decoder.next_message()) is not None:
        found.append((len(response().parse(message).payload.body), decoder.inflated == decoder.messages))
    return found


def refusal(heard: Heard) -> tuple[int, str]:
    return int(heard.fields["grpc-status"]), heard.fields["grpc-message"]


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("size", [0, 10, 50_000])
@pytest.mark.parametrize("wish", [YES, NO])
async def test_a_unary_response_is_compressed_as_asked_whatever_its_size_and_the_server_s_custom(
    wish: testing.BoolValue, size: int, compression: str | None
) -> None:
    async with calling(compression=compression) as call:
        message = testing.SimpleRequest(response_size=size, response_compressed=wish)
        heard = await call("UnaryCall", (message, False))
    assert responses(heard, testing.SimpleResponse) == [(size, wish.value)]


@pytest.mark.parametrize("method", ["StreamingOutputCall", "FullDuplexCall", "HalfDuplexCall"])
async def test_each_response_of_a_stream_is_compressed_as_asked(method: str) -> None:
    asked: Asked = [(31_415, YES), (40_000, NO), (5, YES), (7, None)]
    parameters = [
        testing.ResponseParameters(size=size, compressed=wish)
        if wish is not None
        else testing.ResponseParameters(size=size)
        for size, wish in asked
    ]
    message = testing.StreamingOutputCallRequest(response_parameters=parameters)
    async with calling() as call:
        heard = await call(method, (message, False))
    assert responses(heard, testing.StreamingOutputCallResponse) == [(size, wish is YES) for size, wish in asked]


@pytest.mark.parametrize("accepting", [None, "identity", "deflate"])
async def test_a_client_that_reads_no_gzip_gets_none(accepting: str | None) -> None:
    async with calling(accepting=accepting) as call:
        heard = await call("UnaryCall", (testing.SimpleRequest(response_size=1_000, response_compressed=YES), False))
    assert "grpc-encoding" not in heard.fields
    assert responses(heard, testing.SimpleResponse) == [(1_000, False)]


@pytest.mark.parametrize("expected", [YES, NO, None])
@pytest.mark.parametrize("compressed", [True, False])
async def test_a_unary_request_that_came_otherwise_than_expected_is_refused(
    expected: testing.BoolValue | None, compressed: bool
) -> None:
    message = testing.SimpleRequest(response_size=3, payload=payload(1_000), expect_compressed=expected)  # type: ignore[arg-type]
    async with calling() as call:
        heard = await call("UnaryCall", (message, compressed))
    if expected is None or expected.value is compressed:
        assert responses(heard, testing.SimpleResponse) == [(3, False)]
    else:
        assert refusal(heard) == (
            Status.INVALID_ARGUMENT.value,
            f"expect_compressed: the request arrived {'' if compressed else 'un'}compressed",
        )


async def test_each_request_of_a_stream_may_be_compressed_or_not() -> None:
    first = testing.StreamingInputCallRequest(payload=payload(27_182), expect_compressed=YES)
    second = testing.StreamingInputCallRequest(payload=payload(10_000), expect_compressed=NO)
    async with calling() as call:
        heard = await call("StreamingInputCall", (first, True), (second, False))
    decoder = MessageDecoder(MAX_SIZE)
    decoder.feed(heard.data)
    message = decoder.next_message()
    assert message is not None
    assert testing.StreamingInputCallResponse().parse(message).aggregated_payload_size == 37_182


@pytest.mark.parametrize("bad", [0, 1])
async def test_a_request_of_a_stream_that_came_otherwise_than_expected_is_refused(bad: int) -> None:
    sent = [(testing.StreamingInputCallRequest(payload=payload(500), expect_compressed=YES), True) for _ in range(2)]
    sent[bad] = (sent[bad][0], False)
    async with calling() as call:
        heard = await call("StreamingInputCall", *sent)
    assert refusal(heard) == (
        Status.INVALID_ARGUMENT.value,
        "expect_compressed: the request arrived uncompressed",
    )
