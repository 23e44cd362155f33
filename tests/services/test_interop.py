"""What the server side of gRPC's interoperability tests does, feature by feature of the public description."""

from importlib.resources import files

import pytest
import trio
import trio.testing

from echo.evidence import INSTANCE
from echo.pb.grpc import testing
from echo.rpc import Cardinality, GRPCError, Server, Status
from echo.services import echo_services
from echo.wire.message import encode_message
from tests.support.http2_frames import data
from tests.support.interop import SERVICE, call, interop_channel, open_call, output, payload
from tests.support.raw import raw_client
from tests.support.serving import serving
from tests.support.target import request

INITIAL = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
TRAILING = ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab")
UNKNOWN_METADATA = ("x-other", "not echoed")

STREAMING = ["StreamingOutputCall", "StreamingInputCall", "FullDuplexCall", "HalfDuplexCall"]


def request_of(method: str) -> object:
    """A request that asks for nothing."""
    if method == "EmptyCall":
        return testing.Empty()
    if method == "StreamingInputCall":
        return testing.StreamingInputCallRequest()
    return output() if method in STREAMING else testing.SimpleRequest()


async def test_empty_call_responds_with_nothing() -> None:
    async with interop_channel() as channel:
        seen = await call(channel, "EmptyCall", testing.Empty())
    assert (seen.status, [bytes(response) for response in seen.responses]) == (Status.OK, [b""])


@pytest.mark.parametrize("size", [0, 1, 314_159])
async def test_a_unary_call_gets_a_payload_of_the_size_it_asks_for(size: int) -> None:
    async with interop_channel() as channel:
        request = testing.SimpleRequest(response_size=size, payload=payload(271_828))
        seen = await call(channel, "UnaryCall", request)
    (response,) = seen.responses
    assert response.payload == testing.Payload(body=bytes(size))
    assert response == testing.SimpleResponse(payload=response.payload)  # And nothing else.


async def test_the_server_says_which_one_it_is() -> None:
    async with interop_channel() as channel:
        request = testing.SimpleRequest(fill_server_id=True, fill_username=True, fill_oauth_scope=True)
        (response,) = (await call(channel, "UnaryCall", request)).responses
    assert response.server_id == INSTANCE
    assert response.hostname
    assert (response.username, response.oauth_scope) == ("", "")


async def test_a_cacheable_response_holds_the_time_and_says_that_it_may_be_kept() -> None:
    async with interop_channel() as channel:
        first, second = [await call(channel, "CacheableUnaryCall", testing.SimpleRequest()) for _ in range(2)]
    assert ("cache-control", "max-age=60, public") in first.headers
    times = [int(seen.responses[0].payload.body) for seen in (first, second)]
    assert times[0] < times[1]


async def test_an_output_stream_has_the_sizes_asked_for_in_order() -> None:
    async with interop_channel() as channel:
        assert (await call(channel, "StreamingOutputCall", output(31_415, 9, 2_653, 58_979))).sizes == [
            31_415,
            9,
            2_653,
            58_979,
        ]
        assert (await call(channel, "StreamingOutputCall", output())).sizes == []


async def test_an_input_stream_is_summed_up() -> None:
    async with interop_channel() as channel:
        requests = [testing.StreamingInputCallRequest(payload=payload(size)) for size in (27_182, 8, 1_828, 45_904)]
        (response,) = (await call(channel, "StreamingInputCall", *requests)).responses
        assert response.aggregated_payload_size == 74_922
        (response,) = (await call(channel, "StreamingInputCall")).responses
        assert response.aggregated_payload_size == 0


async def test_full_duplex_answers_each_request_as_it_comes() -> None:
    async with interop_channel() as channel, open_call(channel, "FullDuplexCall") as stream:
        for sizes in ([31_415], [9, 8], [], [58_979]):
            await stream.send_message(output(*sizes))
            for size in sizes:
                response = await stream.recv_message()
                assert response is not None
                assert len(response.payload.body) == size
        await stream.end()
        assert await stream.recv_message() is None


async def test_half_duplex_answers_all_requests_after_the_last_one() -> None:
    async with interop_channel() as channel, open_call(channel, "HalfDuplexCall") as stream:
        for sizes in ([3], [1, 4], [1]):
            await stream.send_message(output(*sizes))
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0) as waiting:
            await stream.recv_message()
        assert waiting.cancelled_caught
        await stream.end()
        sizes = []
        while (response := await stream.recv_message()) is not None:
            sizes.append(len(response.payload.body))
        assert sizes == [3, 1, 4, 1]


@pytest.mark.parametrize("method", ["StreamingOutputCall", "FullDuplexCall", "HalfDuplexCall"])
async def test_an_interval_is_waited_for_before_each_response(
    method: str, autojump_clock: trio.testing.MockClock
) -> None:
    parameters = [
        testing.ResponseParameters(size=1, interval_us=interval) for interval in (500_000, 0, 2_000_000, 250_000)
    ]
    async with interop_channel() as channel:
        seen = await call(channel, method, testing.StreamingOutputCallRequest(response_parameters=parameters))
    assert seen.times == pytest.approx([0.5, 0.5, 2.5, 2.75])


@pytest.mark.parametrize("method", ["UnaryCall", "StreamingOutputCall", "FullDuplexCall", "HalfDuplexCall"])
async def test_a_call_ends_with_the_status_it_asks_for(method: str) -> None:
    text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    status = testing.EchoStatus(code=2, message=text)
    async with interop_channel() as channel:
        if method == "UnaryCall":
            request: object = testing.SimpleRequest(response_status=status, response_size=1)
        else:
            request = output(1, response_status=status)
        seen = await call(channel, method, request)
    assert (seen.status, seen.message, seen.responses) == (Status.UNKNOWN, text, [])


async def test_what_comes_after_a_request_for_a_status_is_not_served() -> None:
    status = testing.EchoStatus(code=10, message="stop")
    async with interop_channel() as channel:
        seen = await call(channel, "FullDuplexCall", output(1), output(response_status=status), output(2))
    assert (seen.status, seen.message, seen.sizes) == (Status.ABORTED, "stop", [1])


async def test_a_request_for_ok_is_served() -> None:
    async with interop_channel() as channel:
        request = testing.SimpleRequest(response_status=testing.EchoStatus(code=0, message="fine"), response_size=3)
        assert (await call(channel, "UnaryCall", request)).sizes == [3]


@pytest.mark.parametrize("method", ["EmptyCall", "UnaryCall", "CacheableUnaryCall", *STREAMING])
async def test_metadata_come_back_in_head_and_trailers(method: str) -> None:
    metadata: list[tuple[str, str | bytes]] = [INITIAL, TRAILING, UNKNOWN_METADATA, (INITIAL[0], "again")]
    if method == "EmptyCall":
        metadata = [TRAILING, UNKNOWN_METADATA]
    async with interop_channel() as channel:
        seen = await call(channel, method, request_of(method), metadata=metadata)
    assert seen.status is Status.OK
    assert [pair for pair in seen.headers if pair[0] == INITIAL[0]] == [
        pair for pair in metadata if pair[0] == INITIAL[0]
    ]
    assert seen.trailers == [TRAILING]


@pytest.mark.parametrize("method", ["UnaryCall", "FullDuplexCall"])
async def test_metadata_come_back_with_a_status_too(method: str) -> None:
    status = testing.EchoStatus(code=5)
    request = testing.SimpleRequest(response_status=status) if method == "UnaryCall" else output(response_status=status)
    async with interop_channel() as channel:
        seen = await call(channel, method, request, metadata=[INITIAL, TRAILING])
    assert seen.status is Status.NOT_FOUND
    assert INITIAL in seen.headers
    assert seen.trailers == [TRAILING]


async def test_a_status_alone_needs_no_head() -> None:
    asked = testing.SimpleRequest(response_status=testing.EchoStatus(code=5))
    async with serving(Server(echo_services(interop=True).services)) as port, raw_client(port) as client:
        message = encode_message(bytes(asked))
        await client.send(client.head(1, request(f"{SERVICE}/UnaryCall")), data(1, message, end=True))
        heard = await client.heard(1)
    (trailers_only,) = heard.heads
    assert trailers_only["grpc-status"] == "5"


@pytest.mark.parametrize("method", ["EmptyCall", "UnaryCall", "CacheableUnaryCall", "StreamingOutputCall"])
async def test_a_call_without_its_request_is_refused(method: str) -> None:
    async with serving(Server(echo_services(interop=True).services)) as port, raw_client(port) as client:
        await client.send(client.head(1, request(f"{SERVICE}/{method}"), end=True))
        heard = await client.heard(1)
    assert heard.fields["grpc-status"] == str(Status.UNIMPLEMENTED.value)
    assert heard.data == b""


@pytest.mark.parametrize("method", ["StreamingInputCall", "FullDuplexCall", "HalfDuplexCall"])
async def test_the_head_comes_before_the_first_request(method: str) -> None:
    async with interop_channel() as channel, open_call(channel, method, [INITIAL]) as stream:
        await stream.send_request()
        await stream.recv_initial_metadata()
        assert stream.initial_metadata is not None
        assert stream.initial_metadata[INITIAL[0]] == INITIAL[1]
        await stream.end()
        while await stream.recv_message() is not None:
            pass


async def test_a_server_that_sleeps_is_timed_out(autojump_clock: trio.testing.MockClock) -> None:
    async with interop_channel() as channel, open_call(channel, "FullDuplexCall", timeout=0.001) as stream:
        await stream.send_message(output(payload=payload(27_182)))
        with pytest.raises(GRPCError) as raised:
            await stream.recv_message()
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        await stream.cancel()


async def test_what_is_not_to_be_implemented_is_not() -> None:
    async with interop_channel() as channel:
        seen = await call(channel, "UnimplementedCall", testing.Empty())
        assert seen.status is Status.UNIMPLEMENTED
        path = "/grpc.testing.UnimplementedService/UnimplementedCall"
        with pytest.raises(GRPCError, match=f"unknown method {path}") as raised:
            async with channel.request(path, Cardinality.UNARY_UNARY, testing.Empty, testing.Empty) as stream:
                await stream.send_message(testing.Empty())
                await stream.recv_message()
        assert raised.value.status is Status.UNIMPLEMENTED


def served(*, interop: bool) -> set[str]:
    services = echo_services(interop=interop).services
    return {path.split("/")[1] for service in services for path in service.__mapping__()}


def test_the_services_are_there_only_when_switched_on() -> None:
    assert served(interop=True) - served(interop=False) == {
        "grpc.testing.TestService",
        "grpc.testing.UnimplementedService",
        "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho",
    }


def test_the_definitions_are_in_the_set_that_reflection_is_given() -> None:
    descriptors = files("echo.pb").joinpath("descriptors.binpb").read_bytes()
    for name in (b"grpc/testing/test.proto", b"gateway_api_conformance/grpcecho.proto"):
        assert name in descriptors
