"""The client side of gRPC's interoperability tests with stock grpcio: one function for each case of the description.

They block, and fail by an assertion or by what grpcio raises. grpcio's clients compress all messages of a call or none,
and do not tell whether a response came compressed; a relay counts bytes for that. Cases for credentials, load balancing
and load reports are left out.
"""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

import grpc
import pytest

from tests.support.grpcio import PATIENCE, Dynamic, message_class

REQUEST_SIZE, RESPONSE_SIZE = 271_828, 314_159
PING_PONG: Final = ((27_182, 31_415), (8, 9), (1_828, 2_653), (45_904, 58_979))
PLAIN, GZIP = grpc.Compression.NoCompression, grpc.Compression.Gzip

_SERVICE: Final = "grpc.testing.TestService"


def _class(name: str) -> Dynamic:
    return message_class(f"grpc.testing.{name}")


Empty = _class("Empty")
Payload = _class("Payload")
SimpleRequest = _class("SimpleRequest")
InputRequest = _class("StreamingInputCallRequest")
OutputRequest = _class("StreamingOutputCallRequest")
OutputResponse = _class("StreamingOutputCallResponse")


class Stub:
    """The methods of a server.

    Args:
        channel: To it.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        simple = SimpleRequest.SerializeToString, _class("SimpleResponse").FromString
        output = OutputRequest.SerializeToString, OutputResponse.FromString
        taken = InputRequest.SerializeToString, _class("StreamingInputCallResponse").FromString
        empty = Empty.SerializeToString, Empty.FromString
        self.empty = channel.unary_unary(f"/{_SERVICE}/EmptyCall", *empty)
        self.unimplemented = channel.unary_unary(f"/{_SERVICE}/UnimplementedCall", *empty)
        self.unimplemented_service = channel.unary_unary("/grpc.testing.UnimplementedService/UnimplementedCall", *empty)
        self.unary = channel.unary_unary(f"/{_SERVICE}/UnaryCall", *simple)
        self.cacheable = channel.unary_unary(f"/{_SERVICE}/CacheableUnaryCall", *simple)
        self.input = channel.stream_unary(f"/{_SERVICE}/StreamingInputCall", *taken)
        self.output = channel.unary_stream(f"/{_SERVICE}/StreamingOutputCall", *output)
        self.full_duplex = channel.stream_stream(f"/{_SERVICE}/FullDuplexCall", *output)
        self.half_duplex = channel.stream_stream(f"/{_SERVICE}/HalfDuplexCall", *output)


def payload(size: int) -> Dynamic:
    return Payload(body=bytes(size))


def large_request(**others: object) -> Dynamic:
    return SimpleRequest(response_size=RESPONSE_SIZE, payload=payload(REQUEST_SIZE), **others)


def output_request(*sizes: int, payload_size: int = 0) -> Dynamic:
    return OutputRequest(response_parameters=[{"size": size} for size in sizes], payload=payload(payload_size))


def check_large(response: Dynamic) -> None:
    assert response.payload == payload(RESPONSE_SIZE)


def fails(call: Callable[[], object], code: grpc.StatusCode) -> Dynamic:
    """The error that the call ends with; its code must be this one."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    error: Dynamic = raised.value
    assert error.code() is code
    return error


def empty_unary(stub: Stub) -> None:
    assert stub.empty(Empty(), timeout=PATIENCE) == Empty()


def cacheable_unary(stub: Stub) -> None:
    """Without a caching proxy, both responses differ; without GET, neither is cached."""
    for _ in range(2):
        response, call = stub.cacheable.with_call(
            SimpleRequest(payload=payload(8)), timeout=PATIENCE, metadata=[("x-user-ip", "1.2.3.4")]
        )
        assert response.payload.body.isdigit()
        assert ("cache-control", "max-age=60, public") in call.initial_metadata()


def large_unary(stub: Stub) -> None:
    check_large(stub.unary(large_request(), timeout=PATIENCE))


def client_compressed_unary(stub: Stub) -> None:
    expecting, plain = large_request(expect_compressed={"value": True}), large_request(expect_compressed={})
    fails(
        lambda: stub.unary(expecting, timeout=PATIENCE, compression=PLAIN),
        grpc.StatusCode.INVALID_ARGUMENT,
    )
    check_large(stub.unary(expecting, timeout=PATIENCE, compression=GZIP))
    check_large(stub.unary(plain, timeout=PATIENCE, compression=PLAIN))


def server_compressed_unary(stub: Stub) -> None:
    for wanted in (True, False):
        check_large(stub.unary(large_request(response_compressed={"value": wanted}), timeout=PATIENCE))


def client_streaming(stub: Stub) -> None:
    requests = [InputRequest(payload=payload(size)) for size, _ in PING_PONG]
    assert stub.input(iter(requests), timeout=PATIENCE).aggregated_payload_size == 74_922


def client_compressed_streaming(stub: Stub) -> None:
    """All messages of the second call are compressed, as grpcio does it."""
    requests = [InputRequest(payload=payload(size), expect_compressed={"value": True}) for size in (27_182, 45_904)]
    fails(
        lambda: stub.input(iter(requests[:1]), timeout=PATIENCE, compression=PLAIN),
        grpc.StatusCode.INVALID_ARGUMENT,
    )
    response = stub.input(iter(requests), timeout=PATIENCE, compression=GZIP)
    assert response.aggregated_payload_size == 73_086


def server_streaming(stub: Stub) -> None:
    sizes = [size for _, size in PING_PONG]
    responses = list(stub.output(output_request(*sizes), timeout=PATIENCE))
    assert [response.payload for response in responses] == [payload(size) for size in sizes]


def server_compressed_streaming(stub: Stub) -> None:
    parameters = [{"size": 31_415, "compressed": {"value": True}}, {"size": 92_653, "compressed": {"value": False}}]
    responses = list(stub.output(OutputRequest(response_parameters=parameters), timeout=PATIENCE))
    assert [response.payload for response in responses] == [payload(31_415), payload(92_653)]


def ping_pong(stub: Stub) -> None:
    requests: SimpleQueue[Dynamic] = SimpleQueue()
    call = stub.full_duplex(iter(requests.get, None), timeout=PATIENCE)
    for sent, received in PING_PONG:
        requests.put(output_request(received, payload_size=sent))
        assert next(call).payload == payload(received)
    requests.put(None)
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def half_duplex(stub: Stub) -> None:
    requests = [output_request(received, payload_size=sent) for sent, received in PING_PONG]
    responses = list(stub.half_duplex(iter(requests), timeout=PATIENCE))
    assert [len(response.payload.body) for response in responses] == [size for _, size in PING_PONG]


def empty_stream(stub: Stub) -> None:
    call = stub.full_duplex(iter(()), timeout=PATIENCE)
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def custom_metadata(stub: Stub) -> None:
    initial = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
    trailing = ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab")
    response, unary = stub.unary.with_call(large_request(), timeout=PATIENCE, metadata=[initial, trailing])
    check_large(response)
    requests = [output_request(RESPONSE_SIZE, payload_size=REQUEST_SIZE)]
    duplex = stub.full_duplex(iter(requests), timeout=PATIENCE, metadata=[initial, trailing])
    assert [len(answer.payload.body) for answer in duplex] == [RESPONSE_SIZE]
    for call in (unary, duplex):
        assert initial in call.initial_metadata()
        assert trailing in call.trailing_metadata()


def _status(stub: Stub, message: str, *, streaming: bool) -> None:
    status = {"code": 2, "message": message}
    calls: list[Callable[[], object]] = [lambda: stub.unary(SimpleRequest(response_status=status), timeout=PATIENCE)]
    if streaming:
        requests = [OutputRequest(response_status=status)]
        calls.append(lambda: list(stub.full_duplex(iter(requests), timeout=PATIENCE)))
    for call in calls:
        assert fails(call, grpc.StatusCode.UNKNOWN).details() == message


def status_code_and_message(stub: Stub) -> None:
    _status(stub, "test status message", streaming=True)


def special_status_message(stub: Stub) -> None:
    _status(stub, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n", streaming=False)


def unimplemented_method(stub: Stub) -> None:
    fails(lambda: stub.unimplemented(Empty(), timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED)


def unimplemented_service(stub: Stub) -> None:
    fails(lambda: stub.unimplemented_service(Empty(), timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED)


def cancel_after_begin(stub: Stub) -> None:
    requests: SimpleQueue[Dynamic] = SimpleQueue()
    call = stub.input.future(iter(requests.get, None), timeout=PATIENCE)
    call.cancel()
    requests.put(None)
    assert call.cancelled()
    assert call.code() is grpc.StatusCode.CANCELLED


def cancel_after_first_response(stub: Stub) -> None:
    requests: SimpleQueue[Dynamic] = SimpleQueue()
    call = stub.full_duplex(iter(requests.get, None), timeout=PATIENCE)
    requests.put(output_request(31_415, payload_size=27_182))
    assert len(next(call).payload.body) == 31_415
    call.cancel()
    requests.put(None)
    fails(lambda: next(call), grpc.StatusCode.CANCELLED)


def timeout_on_sleeping_server(stub: Stub) -> None:
    requests: SimpleQueue[Dynamic] = SimpleQueue()
    requests.put(output_request(payload_size=27_182))
    call = stub.full_duplex(iter(requests.get, None), timeout=0.001)
    fails(lambda: next(call), grpc.StatusCode.DEADLINE_EXCEEDED)
    requests.put(None)


def concurrent_large_unary(stub: Stub, calls: int = 100) -> None:
    request = large_request()
    for future in [stub.unary.future(request, timeout=PATIENCE) for _ in range(calls)]:
        check_large(future.result())


def rpc_soak(stub: Stub) -> None:
    for _ in range(20):
        large_unary(stub)


CASES: Final[tuple[Callable[[Stub], None], ...]] = (
    empty_unary,
    cacheable_unary,
    large_unary,
    client_compressed_unary,
    server_compressed_unary,
    client_streaming,
    client_compressed_streaming,
    server_streaming,
    server_compressed_streaming,
    ping_pong,
    half_duplex,
    empty_stream,
    custom_metadata,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    cancel_after_begin,
    cancel_after_first_response,
    timeout_on_sleeping_server,
    concurrent_large_unary,
    rpc_soak,
)
