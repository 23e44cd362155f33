"""Retries as grpcio understands them: its servers see our attempts, and its clients retry calls to our server."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import trio
from anyio.abc import SocketAttribute

from echo.rpc import Cardinality, GRPCError, Server, Status, open_channel, open_tcp_listener
from tests.support.grpcio import in_thread
from tests.support.services import UNARY, BytesCodec, BytesStream, Service
from tests.support.serving import LOOPBACK

PREVIOUS = "grpc-previous-rpc-attempts"
PUSHBACK = "grpc-retry-pushback-ms"
PATH = "/test.Service/Try"
CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "test.Service"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.01s",
                "maxBackoff": "0.1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


class GrpcioFlaky(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types.
    """A stock server whose calls fail so often, with a pushback or without."""

    def __init__(self, failures: int, pushback: str | None = None) -> None:
        self.failures = failures
        self.pushback = pushback
        self.seen: list[str | bytes | None] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        assert details.method == PATH
        return grpc.unary_unary_rpc_method_handler(self._try)

    def _try(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.seen.append(dict(context.invocation_metadata()).get(PREVIOUS))
        if self.failures:
            self.failures -= 1
            if self.pushback is not None:
                context.set_trailing_metadata(((PUSHBACK, self.pushback),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return request


async def call_grpcio(flaky: GrpcioFlaky) -> bytes | None:
    server = grpc.server(ThreadPoolExecutor(2), handlers=[flaky])
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    try:
        async with (
            open_channel(LOOPBACK, port, codec=BytesCodec(), service_config=CONFIG) as channel,
            channel.request(PATH, Cardinality.UNARY_UNARY, bytes, bytes, timeout=60) as stream,
        ):
            await stream.send_message(b"x")
            return await stream.recv_message()
    finally:
        with trio.CancelScope(shield=True):
            await in_thread(lambda: server.stop(0).wait())


async def test_a_grpcio_server_sees_how_many_attempts_went_before() -> None:
    flaky = GrpcioFlaky(3)
    assert await call_grpcio(flaky) == b"x"
    assert flaky.seen == [None, "1", "2", "3"]


async def test_a_grpcio_server_s_pushback_is_obeyed() -> None:
    flaky = GrpcioFlaky(1, "300")
    began = trio.current_time()
    assert await call_grpcio(flaky) == b"x"
    assert trio.current_time() - began >= 0.3
    flaky = GrpcioFlaky(1, "-1")
    with pytest.raises(GRPCError) as raised:
        await call_grpcio(flaky)
    assert raised.value.status is Status.UNAVAILABLE
    assert flaky.seen == [None]


class Flaky:
    """Our server, the same."""

    def __init__(self, failures: int, pushback: str | None = None) -> None:
        self.failures = failures
        self.pushback = pushback
        self.seen: list[str | bytes | None] = []
        self.times: list[float] = []

    async def attempt(self, stream: BytesStream) -> None:
        assert stream.metadata is not None
        self.seen.append(stream.metadata.get(PREVIOUS))
        self.times.append(trio.current_time())
        message = await stream.recv_message()
        assert message is not None
        if not self.failures:
            await stream.send_message(message)
            return
        self.failures -= 1
        metadata = {} if self.pushback is None else {PUSHBACK: self.pushback}
        await stream.send_trailing_metadata(status=Status.UNAVAILABLE, status_message="not now", metadata=metadata)


async def grpcio_calls(flaky: Flaky) -> bytes:
    server = Server([Service(Try=(UNARY, flaky.attempt))], codec=BytesCodec())
    listener = await open_tcp_listener(LOOPBACK, 0)
    port = listener.extra(SocketAttribute.local_port)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        options = [("grpc.service_config", json.dumps(CONFIG)), ("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.insecure_channel(f"{LOOPBACK}:{port}", options=options)
        try:
            reply: bytes = await in_thread(channel.unary_unary(PATH), b"x", timeout=60)
        finally:
            with trio.CancelScope(shield=True):
                await in_thread(channel.close)
            nursery.cancel_scope.cancel()
    return reply


async def test_a_grpcio_client_s_retries_arrive_counted() -> None:
    flaky = Flaky(3)
    assert await grpcio_calls(flaky) == b"x"
    assert flaky.seen == [None, "1", "2", "3"]


async def test_a_grpcio_client_obeys_our_pushback() -> None:
    flaky = Flaky(1, "300")
    assert await grpcio_calls(flaky) == b"x"
    assert flaky.times[1] - flaky.times[0] >= 0.29
    flaky = Flaky(1, "-1")
    with pytest.RaisesGroup(grpc.RpcError, flatten_subgroups=True):
        await grpcio_calls(flaky)
    assert flaky.seen == [None]
