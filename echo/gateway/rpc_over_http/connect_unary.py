"""Connect's unary calls (https://connectrpc.com/docs/protocol/#unary-request): the bodies are the messages.

Calls use POST, or GET with the message in the query for methods without side effects.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus, unquote_to_bytes

import trio

from echo.contract import HTTP_STATUS
from echo.gateway.rpc_over_http.call import Call, Payload, Stream
from echo.gateway.rpc_over_http.encodings import ACCEPTED, request_encoding, response_encoding
from echo.gateway.rpc_over_http.exchange import ClientGoneError, Exchange
from echo.gateway.rpc_over_http.metadata import encoded, pairs_of
from echo.gateway.rpc_over_http.outcome import GOING_AWAY, TOO_LATE, Outcome, Pairs, error_body, outcome_of
from echo.gateway.runtime import Runtime
from echo.rpc import Cardinality, GRPCError, Status
from echo.wire import IDENTITY, compress, decode_bin, decompress

JSON: Final = b"application/json"

_TO_STANDARD_BASE64: Final = bytes.maketrans(b"-_", b"+/")
"""Translates base64's URL-safe alphabet (RFC 4648 §5) to the standard one."""

_ACCEPT_ENCODING: Final = (b"accept-encoding", ACCEPTED.encode())


@dataclass(frozen=True, slots=True)
class UnaryRequest:
    """What a request says besides the method.

    Attributes:
        codec: ``proto`` or ``json``.
        encoding: The encoding of the message.
        message: The message from the query; None if it is the body.
    """

    codec: str
    encoding: str
    message: bytes | None = None


@dataclass(frozen=True, slots=True)
class UnaryResult:
    """The result of a call.

    Attributes:
        outcome: How the call ended.
        initial: The initial metadata.
        message: The reply in the client's format.
    """

    outcome: Outcome
    initial: Pairs = ()
    message: bytes = b""


def parse_post(exchange: Exchange, codec: str) -> UnaryRequest:
    """Read a POST, whose body is the message.

    Raises:
        GRPCError: UNIMPLEMENTED: the compression is unknown.
    """
    return UnaryRequest(codec, request_encoding(exchange.header(b"content-encoding")))


def parse_get(exchange: Exchange) -> UnaryRequest:
    """Read a GET (Connect, "Unary-Get-Request").

    Raises:
        GRPCError: INVALID_ARGUMENT: a parameter is missing or invalid; UNIMPLEMENTED: the compression is unknown.
    """
    query = parameters(exchange.query)
    codec = query.get("encoding")
    if codec not in ("proto", "json"):
        raise GRPCError(Status.INVALID_ARGUMENT, "encoding must be proto or json")
    if "message" not in query:
        raise GRPCError(Status.INVALID_ARGUMENT, "message is missing")
    return UnaryRequest(codec, request_encoding(query.get("compression")), _message(query))


def parameters(query: str) -> Mapping[str, str]:
    """The parameters of a query, with values still percent-encoded; of repeated ones, the first counts."""
    found: dict[str, str] = {}
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        found.setdefault(unquote_plus(name), value)
    return found


def _message(query: Mapping[str, str]) -> bytes:
    message = unquote_to_bytes(query["message"].replace("+", " "))
    if query.get("base64", "0") != "1":
        return message
    try:
        return decode_bin(message.translate(_TO_STANDARD_BASE64))
    except ValueError:
        raise GRPCError(Status.INVALID_ARGUMENT, "message is not base64") from None


async def serve_unary(runtime: Runtime, exchange: Exchange, request: UnaryRequest, call: Call) -> None:
    """Make the call and answer the request."""
    result: UnaryResult | None = UnaryResult(GOING_AWAY)  # Kept if the drain cancels the call.
    with runtime.drain.work():
        result = await _receive_and_call(runtime, exchange, request, call)
    if result is not None:
        await send_result(exchange, request, result)


async def send_result(exchange: Exchange, request: UnaryRequest | None, result: UnaryResult) -> None:
    """Answer the request; errors are sent as JSON."""
    outcome = result.outcome
    trailers = encoded(outcome.trailers, "trailer-")
    headers = [_ACCEPT_ENCODING, *encoded(result.initial), *trailers]
    if outcome.status is not Status.OK or request is None:
        body = error_body(outcome)
        await exchange.answer(HTTP_STATUS[outcome.status], [(b"content-type", JSON), *headers], body)
        return
    encoding = response_encoding(request.encoding, exchange.header(b"accept-encoding"))
    if encoding != IDENTITY:
        headers.append((b"content-encoding", encoding.encode()))
    if request.message is not None:
        headers.append((b"vary", b"accept-encoding, origin"))  # For caches, which may store the response to a GET.
    content_type = (b"content-type", f"application/{request.codec}".encode())
    await exchange.answer(200, [content_type, *headers], compress(encoding, result.message))


async def _receive_and_call(
    runtime: Runtime, exchange: Exchange, request: UnaryRequest, call: Call
) -> UnaryResult | None:
    """Read the message and make the call; None if the client disconnects first."""
    limit = runtime.settings.grpc_max_message_size
    try:
        with trio.fail_at(call.deadline):
            body = await exchange.receive_all(limit)
        message = body if request.message is None else request.message
        if message is None:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"message exceeds the limit of {limit} bytes")
        payload = Payload(call.codec.decode(decompress(request.encoding, message, limit)))
    except trio.TooSlowError:
        return UnaryResult(TOO_LATE)
    except ClientGoneError:
        return None
    except GRPCError as error:
        return UnaryResult(outcome_of(error))

    result: UnaryResult | None = None
    async with trio.open_nursery() as tasks:

        async def cancel_when_disconnected() -> None:
            await exchange.disconnected()
            tasks.cancel_scope.cancel()

        tasks.start_soon(cancel_when_disconnected)
        result = await _call(runtime, call, payload)
        tasks.cancel_scope.cancel()
    return result


async def _call(runtime: Runtime, call: Call, payload: Payload) -> UnaryResult:
    stream: Stream | None = None
    try:
        async with call.open(runtime, Cardinality.UNARY_UNARY) as stream:
            await stream.send_message(payload, end=True)
            reply = await stream.recv_message()
            assert reply is not None  # Otherwise the call would have failed.
            message = call.codec.encode(reply)
    except GRPCError as error:
        assert stream is not None  # Opening the call does not raise GRPCError.
        outcome = outcome_of(error, pairs_of(stream.trailing_metadata))
        return UnaryResult(outcome, pairs_of(stream.initial_metadata))
    return UnaryResult(Outcome(trailers=pairs_of(stream.trailing_metadata)), pairs_of(stream.initial_metadata), message)
