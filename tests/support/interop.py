"""gRPC's interoperability test service in memory, and calls to it by our client."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import trio
from grpclib.encoding.base import CodecBase

from echo.pb.grpc import testing
from echo.rpc import Channel, ClientStream, GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from echo.services import echo_services
from tests.support.services import BIDI, CLIENT_STREAM, SERVER_STREAM, UNARY

SERVICE: Final = "/grpc.testing.TestService"

METHODS: Final = {
    "EmptyCall": (UNARY, testing.Empty, testing.Empty),
    "UnaryCall": (UNARY, testing.SimpleRequest, testing.SimpleResponse),
    "CacheableUnaryCall": (UNARY, testing.SimpleRequest, testing.SimpleResponse),
    "UnimplementedCall": (UNARY, testing.Empty, testing.Empty),
    "StreamingOutputCall": (
        SERVER_STREAM,
        testing.StreamingOutputCallRequest,
        testing.StreamingOutputCallResponse,
    ),
    "StreamingInputCall": (CLIENT_STREAM, testing.StreamingInputCallRequest, testing.StreamingInputCallResponse),
    "FullDuplexCall": (BIDI, testing.StreamingOutputCallRequest, testing.StreamingOutputCallResponse),
    "HalfDuplexCall": (BIDI, testing.StreamingOutputCallRequest, testing.StreamingOutputCallResponse),
}


@dataclass
class Seen:
    """What a client saw of a call.

    Attributes:
        responses: All of them,
        times: and when each came, in seconds from the call's beginning.
        status: How it ended,
        message: and what was said of that.
        headers: Initial metadata,
        trailers: and trailing metadata.
    """

    responses: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    status: Status = Status.OK
    message: str | None = None
    headers: list[tuple[str, str | bytes]] = field(default_factory=list)
    trailers: list[tuple[str, str | bytes]] = field(default_factory=list)

    @property
    def sizes(self) -> list[int]:
        """The sizes of the responses' payloads."""
        return [len(response.payload.body) for response in self.responses]


def open_call(
    channel: Channel, method: str, metadata: Iterable[tuple[str, str | bytes]] = (), timeout: float | None = None
) -> ClientStream[Any, Any]:
    """A call of one of the service's methods."""
    kind, request, response = METHODS[method]
    return channel.request(f"{SERVICE}/{method}", kind, request, response, metadata=[*metadata], timeout=timeout)


async def call(
    channel: Channel,
    method: str,
    *requests: object,
    metadata: Iterable[tuple[str, str | bytes]] = (),
    timeout: float | None = None,
) -> Seen:
    """Make a whole call: send all requests, then receive all responses."""
    seen, began = Seen(), trio.current_time()
    stream = open_call(channel, method, metadata, timeout)
    try:
        async with stream:
            await stream.send_request()
            for request in requests:
                await stream.send_message(request)
            if METHODS[method][0].client_streaming:
                await stream.end()
            while (response := await stream.recv_message()) is not None:
                seen.responses.append(response)
                seen.times.append(trio.current_time() - began)
    except GRPCError as error:
        seen.status, seen.message = error.status, error.message
    seen.headers = [*(stream.initial_metadata or {}).items()]
    seen.trailers = [*(stream.trailing_metadata or {}).items()]
    return seen


@asynccontextmanager
async def interop_channel(
    *, max_message_size: int = 4 * 2**20, codec: CodecBase | None = None
) -> AsyncIterator[Channel]:
    """A channel to a server with all of echo's services, including the interop services."""
    services = echo_services(interop=True, max_message_size=max_message_size).services
    async with memory_channel_to(Server(services, codec=codec)) as channel:
        yield channel


def output(*sizes: int, **others: Any) -> testing.StreamingOutputCallRequest:
    """A request for responses of these sizes."""
    parameters = [testing.ResponseParameters(size=size) for size in sizes]
    return testing.StreamingOutputCallRequest(response_parameters=parameters, **others)


def payload(size: int) -> testing.Payload:
    """This many zero bytes."""
    return testing.Payload(body=bytes(size))
