"""Stock grpcio, client and server, alongside trio. It has threads of its own; trio waits for them in threads.

Its messages are created from our descriptors in a separate pool, so that nothing of echo but the schema is involved.
The server serves the echo contract, and on the same methods does what the metadata of `tests.support.recording` asks
for.
"""

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.resources import files
from typing import Any, Final, TypeAlias, TypeVar

import grpc
import trio
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from multidict import MultiDict

from echo.rpc import Cardinality
from echo.wire.metadata import Metadata
from tests.support.recording import (
    INITIAL,
    PATHS,
    REPLIES,
    STATUS,
    STATUS_DETAILS,
    STATUS_MESSAGE,
    TRAILING,
    WAIT,
    Calls,
    Seen,
    matching,
)
from tests.support.serving import LOOPBACK

T = TypeVar("T")
Dynamic: TypeAlias = Any  # The type checker cannot know grpcio's types, nor those of messages created at run time.

PATIENCE: Final = 60.0  # The longest time in seconds for a call by grpcio; no call should come near it.

UNARY_SERVICE: Final = "com.gopay.echo.Server"
STREAMING_SERVICE: Final = "com.gopay.echo.streaming.StreamingServer"

_POOL: Final = DescriptorPool()
for _file in FileDescriptorSet.FromString(files("echo.pb").joinpath("descriptors.binpb").read_bytes()).file:
    _POOL.AddSerializedFile(_file.SerializeToString())


def message_class(name: str) -> Dynamic:
    """One of our messages, by its full name, as a class of Google's protobuf."""
    return GetMessageClass(_POOL.FindMessageTypeByName(name))


Message: Final = message_class("com.gopay.echo.Message")
Response: Final = message_class("com.gopay.echo.Response")
StreamMessage: Final = message_class("com.gopay.echo.streaming.StreamMessage")
StreamResponse: Final = message_class("com.gopay.echo.streaming.StreamResponse")

CODES: Final[dict[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}

_KINDS: Final = {
    Cardinality.UNARY_UNARY: "unary_unary",
    Cardinality.STREAM_UNARY: "stream_unary",
    Cardinality.UNARY_STREAM: "unary_stream",
    Cardinality.STREAM_STREAM: "stream_stream",
}


async def in_thread(function: Callable[..., T], *args: object, **kwargs: object) -> T:
    """Call a blocking function in a thread."""
    return await trio.to_thread.run_sync(partial(function, *args, **kwargs))


class Client:
    """A stock client's stubs.

    Attributes:
        channel: grpcio's own.
        get_reply, client_stream, server_stream, bidirectional_stream: The echo services' methods.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.get_reply = channel.unary_unary(
            f"/{UNARY_SERVICE}/GetReply", Message.SerializeToString, Response.FromString
        )
        self.client_stream = self.method(f"/{STREAMING_SERVICE}/ClientStream", Cardinality.STREAM_UNARY)
        self.server_stream = self.method(f"/{STREAMING_SERVICE}/ServerStream", Cardinality.UNARY_STREAM)
        self.bidirectional_stream = self.method(f"/{STREAMING_SERVICE}/BidirectionalStream", Cardinality.STREAM_STREAM)

    def recorder(self, kind: Cardinality) -> Dynamic:
        """The method of this type of `tests.support.recording.Recorder`."""
        return self.method(PATHS[kind], kind)

    def method(self, path: str, kind: Cardinality) -> Dynamic:
        """Any method that takes ``StreamMessage`` and returns ``StreamResponse``."""
        make = getattr(self.channel, _KINDS[kind])
        return make(path, StreamMessage.SerializeToString, StreamResponse.FromString)


@asynccontextmanager
async def grpcio_client(
    port: int, *, options: tuple[tuple[str, int], ...] = (), **kwargs: object
) -> AsyncIterator[Client]:
    """A channel of its own, and so a connection of its own. Further arguments are those of ``insecure_channel``."""
    options = (("grpc.use_local_subchannel_pool", 1), *options)
    channel = grpc.insecure_channel(f"{LOOPBACK}:{port}", options=options, **kwargs)
    try:
        yield Client(channel)
    finally:
        with trio.CancelScope(shield=True):
            await in_thread(channel.close)


class GrpcioServer:
    """A stock server.

    Attributes:
        port: Where it listens.
        calls: What its handlers saw. Their events are set as soon as trio gets to it.
        gate: What unary handlers wait for before they reply; open unless closed by a test.
    """

    def __init__(self, port: int, workers: int, compression: grpc.Compression | None = None) -> None:
        self.calls = Calls()
        self.gate = threading.Event()
        self.gate.set()
        self._token = trio.lowlevel.current_trio_token()
        self._server = grpc.server(
            ThreadPoolExecutor(workers), options=[("grpc.so_reuseport", 0)], compression=compression
        )
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    UNARY_SERVICE,
                    {
                        "GetReply": grpc.unary_unary_rpc_method_handler(
                            self._get_reply, Message.FromString, Response.SerializeToString
                        )
                    },
                ),
                grpc.method_handlers_generic_handler(
                    STREAMING_SERVICE,
                    {
                        "ClientStream": _handler(Cardinality.STREAM_UNARY, self._client_stream),
                        "ServerStream": _handler(Cardinality.UNARY_STREAM, self._server_stream),
                        "BidirectionalStream": _handler(Cardinality.STREAM_STREAM, self._bidirectional_stream),
                    },
                ),
            ]
        )
        self.port: int = self._server.add_insecure_port(f"{LOOPBACK}:{port}")
        self._server.start()

    def stop(self, grace: float | None = None) -> None:
        """Stop, with a grace in seconds for running calls; blocks until done."""
        self._server.stop(grace).wait()

    @contextmanager
    def _serving(self, context: grpc.ServicerContext) -> Iterator[Seen]:
        """Runs around each handler: reports what it sees, and does what any handler may be asked to do."""
        metadata: Metadata = MultiDict((key, value) for key, value in context.invocation_metadata())
        seen = Seen(metadata, context.time_remaining())
        gone = threading.Event()
        if not context.add_callback(gone.set):
            gone.set()
        self._tell(self.calls.add, seen)
        if initial := matching(metadata, INITIAL):
            context.send_initial_metadata(initial)
        trailing = matching(metadata, TRAILING)
        if STATUS in metadata:
            context.set_code(CODES[int(str(metadata[STATUS]))])
            context.set_details(_octets(metadata[STATUS_MESSAGE]).decode())
            trailing.append(("grpc-status-details-bin", metadata[STATUS_DETAILS]))
        context.set_trailing_metadata(trailing)
        try:
            if WAIT in metadata:
                self._tell(seen.waiting.set)
                gone.wait(PATIENCE)
            yield seen
        finally:
            if not context.is_active():
                self._tell(seen.cancelled.set)
            self._tell(seen.ended.set)

    def _tell(self, function: Callable[..., object], *args: object) -> None:
        self._token.run_sync_soon(function, *args)

    def _get_reply(self, request: Dynamic, context: grpc.ServicerContext) -> Dynamic:
        with self._serving(context):
            self.gate.wait(PATIENCE)
            return Response(success=True, response=f"from server:{request.message}")

    def _client_stream(self, requests: Iterator[Dynamic], context: grpc.ServicerContext) -> Dynamic:
        with self._serving(context) as seen:
            stream_id = ""
            for request in requests:
                _check(request, context)
                stream_id = stream_id or request.stream_id
                seen.received += 1
                if request.sequence_number not in (0, seen.received):
                    context.abort(grpc.StatusCode.DATA_LOSS, f"{request.sequence_number} came as {seen.received}")
            return _response(stream_id, seen.received, f"received {seen.received} messages")

    def _server_stream(self, request: Dynamic, context: grpc.ServicerContext) -> Iterator[Dynamic]:
        with self._serving(context) as seen:
            _check(request, context)
            echoes = int(str(seen.metadata.get(REPLIES, "5")))
            for number in range(1, echoes + 1):
                yield _response(request.stream_id, number, f"{request.message} (echo {number}/{echoes})")

    def _bidirectional_stream(self, requests: Iterator[Dynamic], context: grpc.ServicerContext) -> Iterator[Dynamic]:
        with self._serving(context) as seen:
            for request in requests:
                _check(request, context)
                seen.received += 1
                yield _response(request.stream_id, seen.received, request.message)


def _octets(value: str | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _handler(kind: Cardinality, function: Callable[..., object]) -> Dynamic:
    make = getattr(grpc, f"{_KINDS[kind]}_rpc_method_handler")
    return make(function, StreamMessage.FromString, StreamResponse.SerializeToString)


def _check(request: Dynamic, context: grpc.ServicerContext) -> None:
    if not request.stream_id:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "stream_id is required")


def _response(stream_id: str, number: int, text: str) -> Dynamic:
    return StreamResponse(
        stream_id=stream_id,
        sequence_number=number,
        timestamp=time.time_ns(),
        response=f"from server: {text}",
        success=True,
    )


@asynccontextmanager
async def grpcio_server(
    port: int = 0, *, workers: int = 16, compression: grpc.Compression | None = None
) -> AsyncIterator[GrpcioServer]:
    """A stock server while the block runs. Its running calls end with the block."""
    server = GrpcioServer(port, workers, compression)
    try:
        yield server
    finally:
        server.gate.set()
        with trio.CancelScope(shield=True):
            await in_thread(server.stop)
