"""``grpc.testing.TestService``: the server side of gRPC's interoperability tests.

After the public "Interoperability Test Case Descriptions". Callers are not authenticated here, so that ``username`` and
``oauth_scope`` stay empty; there are no load reports. ``UnimplementedCall`` is left out on purpose.
"""

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import anyio
from grpclib.const import Handler
from multidict import MultiDict

from echo.evidence import INSTANCE
from echo.rpc import Cardinality, GRPCError, ServerStream, Status
from echo.services.interop.parameters import (
    Parameters,
    check_compression,
    check_count,
    check_status,
    response_of,
    responses_of,
)
from echo.services.large import LargeResponses
from echo.services.protobuf import Messages

PACKAGE: Final = "grpc.testing"
SERVICE: Final = f"{PACKAGE}.TestService"

ECHO_INITIAL: Final = "x-grpc-test-echo-initial"
ECHO_TRAILING: Final = "x-grpc-test-echo-trailing-bin"
CACHEABLE: Final = {"cache-control": "max-age=60, public"}
GZIP: Final = "gzip"
LARGEST_SUM: Final = 2**31 - 1  # What aggregated_payload_size can say.

Stream: TypeAlias = ServerStream[Any, Any]
Method: TypeAlias = Callable[[Stream], Awaitable[None]]


class InteropTestService:
    """The service.

    Args:
        messages: Has its messages.
        max_size: The largest response, in bytes.
    """

    def __init__(self, messages: Messages, max_size: int) -> None:
        self._messages = messages
        self._max_size = max_size
        self._large = LargeResponses(max_size)
        self._empty: Any = messages(f"{PACKAGE}.Empty")
        self._simple: Any = messages(f"{PACKAGE}.SimpleResponse")
        self._output: Any = messages(f"{PACKAGE}.StreamingOutputCallResponse")
        self._sum: Any = messages(f"{PACKAGE}.StreamingInputCallResponse")

    def __mapping__(self) -> Mapping[str, Handler]:
        def handler(method: Method, cardinality: Cardinality, request: str, response: str) -> Handler:
            types = (self._messages(f"{PACKAGE}.{name}") for name in (request, response))
            return Handler(_echoing_metadata(method), cardinality, *types)

        unary = Cardinality.UNARY_UNARY, "SimpleRequest", "SimpleResponse"
        output = "StreamingOutputCallRequest", "StreamingOutputCallResponse"
        taken = "StreamingInputCallRequest", "StreamingInputCallResponse"
        return {
            f"/{SERVICE}/EmptyCall": handler(self._empty_call, Cardinality.UNARY_UNARY, "Empty", "Empty"),
            f"/{SERVICE}/UnaryCall": handler(self._unary_call, *unary),
            f"/{SERVICE}/CacheableUnaryCall": handler(self._cacheable_unary_call, *unary),
            f"/{SERVICE}/StreamingOutputCall": handler(self._output_call, Cardinality.UNARY_STREAM, *output),
            f"/{SERVICE}/StreamingInputCall": handler(self._input_call, Cardinality.STREAM_UNARY, *taken),
            f"/{SERVICE}/FullDuplexCall": handler(self._full_duplex_call, Cardinality.STREAM_STREAM, *output),
            f"/{SERVICE}/HalfDuplexCall": handler(self._half_duplex_call, Cardinality.STREAM_STREAM, *output),
        }

    async def _empty_call(self, stream: Stream) -> None:
        await stream.recv_message()
        await stream.send_message(self._empty())

    async def _unary_call(self, stream: Stream) -> None:
        parameters, fields = await self._simple_request(stream)
        if parameters.compressed:
            stream.compress(GZIP)
        await _send_head(stream)
        async with self._large.room(stream, parameters.size):
            _compress(stream, parameters)
            await stream.send_message(self._simple(payload={"body": bytes(parameters.size)}, **fields))

    async def _simple_request(self, stream: Stream) -> tuple[Parameters, dict[str, str]]:
        """What the request asks for, and what it wants to know of the server."""
        request: Any = await stream.recv_message()
        check_compression(request, compressed=stream.received_compressed)
        check_status(request)
        known = {"server_id": INSTANCE, "hostname": os.uname().nodename} if request.fill_server_id else {}
        return response_of(request, self._max_size), known

    async def _cacheable_unary_call(self, stream: Stream) -> None:
        await stream.recv_message()
        await _send_head(stream, CACHEABLE.items())
        await stream.send_message(self._simple(payload={"body": b"%d" % time.time_ns()}))

    async def _output_call(self, stream: Stream) -> None:
        asked = await self._output_request(stream)
        assert asked is not None  # A call without its one request does not get here.
        if any(parameters.compressed for parameters in asked):
            stream.compress(GZIP)
        await _send_head(stream)
        await self._respond(stream, asked)

    async def _full_duplex_call(self, stream: Stream) -> None:
        stream.compress(GZIP)  # The head must say so, and a later request may want it.
        await _send_head(stream)
        while (asked := await self._output_request(stream)) is not None:
            await self._respond(stream, asked)

    async def _half_duplex_call(self, stream: Stream) -> None:
        stream.compress(GZIP)
        await _send_head(stream)
        collected: list[Parameters] = []
        while (asked := await self._output_request(stream)) is not None:
            collected += asked
            check_count(len(collected))
        await self._respond(stream, collected)

    async def _output_request(self, stream: Stream) -> list[Parameters] | None:
        """What the next request asks for; None after the last."""
        request: Any = await stream.recv_message()
        if request is None:
            return None
        check_status(request)
        return responses_of(request, self._max_size)

    async def _respond(self, stream: Stream, asked: Iterable[Parameters]) -> None:
        for parameters in asked:
            if parameters.interval:
                await anyio.sleep(parameters.interval)
            async with self._large.room(stream, parameters.size):
                _compress(stream, parameters)
                await stream.send_message(self._output(payload={"body": bytes(parameters.size)}))

    async def _input_call(self, stream: Stream) -> None:
        await _send_head(stream)
        total = 0
        while (size := await self._input_request(stream)) is not None:
            total += size
            if total > LARGEST_SUM:
                raise GRPCError(Status.OUT_OF_RANGE, f"the payloads have more than {LARGEST_SUM} bytes")
        await stream.send_message(self._sum(aggregated_payload_size=total))

    async def _input_request(self, stream: Stream) -> int | None:
        """The size of the next request's payload; None after the last."""
        request: Any = await stream.recv_message()
        if request is None:
            return None
        check_compression(request, compressed=stream.received_compressed)
        return len(request.payload.body)


def _compress(stream: Stream, parameters: Parameters) -> None:
    stream.compress_next(wanted=bool(parameters.compressed))


def _echoed(stream: Stream, name: str) -> list[tuple[str, str | bytes]]:
    metadata = stream.metadata or MultiDict()
    return [(name, value) for value in metadata.getall(name, ())]


async def _send_head(stream: Stream, fields: Iterable[tuple[str, str]] = ()) -> None:
    """Send the response's head, with the metadata that the client wants back in it and these fields."""
    await stream.send_initial_metadata(metadata=[*_echoed(stream, ECHO_INITIAL), *fields])


def _echoing_metadata(method: Method) -> Method:
    """The method, with the trailing metadata that its clients want back, whatever status its calls end with."""

    async def serve(stream: Stream) -> None:
        trailing = _echoed(stream, ECHO_TRAILING)
        try:
            await method(stream)
        except GRPCError as error:
            if not stream.head_sent and _echoed(stream, ECHO_INITIAL):
                await _send_head(stream)
            await stream.send_trailing_metadata(status=error.status, status_message=error.message, metadata=trailing)
        else:
            await stream.send_trailing_metadata(metadata=trailing)

    return serve
