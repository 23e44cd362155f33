"""Connect's unary calls (https://connectrpc.com/docs/protocol/#unary-request): the messages are the bodies.

By POST; or by GET, with the message in the query, for methods without side effects.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus, unquote_to_bytes

import trio

from echo.gateway.rpc_over_http.call import Call, Payload, Stream
from echo.gateway.rpc_over_http.encodings import ACCEPTED, request_encoding, response_encoding
from echo.gateway.rpc_over_http.exchange import ClientGoneError, Exchange
from echo.gateway.rpc_over_http.metadata import encoded, pairs_of
from echo.gateway.rpc_over_http.outcome import GOING_AWAY, TOO_LATE, Outcome, Pairs, error_body, outcome_of
from echo.gateway.runtime import Runtime
from echo.gateway.status import HTTP_STATUS
from echo.rpc import Cardinality, GRPCError, Status
from echo.wire import IDENTITY, compress, decode_bin, decompress

JSON: Final = b"application/json"

_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
"""From the alphabet of base64 for URLs (RFC 4648 §5) to the usual one."""

_ACCEPT_ENCODING: Final = (b"accept-encoding", ACCEPTED.encode())


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks, besides the method.

    Attributes:
        codec: ``proto`` or ``json``.
        encoding: How the message is compressed.
        message: As it came in the query; None if it is the body.
    """

    codec: str
    encoding: str
    message: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of the call.

    Attributes:
        outcome: How it ended.
        initial: The initial metadata.
        message: The reply, as the client wants it.
    """

    outcome: Outcome
    initial: Pairs = ()
    message: bytes = b""


def posted(exchange: Exchange, codec: str) -> Question:
    """The question of a POST, whose message is the body.

    Raises:
        GRPCError: UNIMPLEMENTED: a compression that is not known.
    """
    return Question(codec, request_encoding(exchange.header(b"content-encoding")))


def queried(exchange: Exchange) -> Question:
    """The question of a GET (Connect, "Unary-Get-Request").

    Raises:
        GRPCError: INVALID_ARGUMENT: a parameter is missing, or not what it should be; UNIMPLEMENTED: a compression
            that is not known.
    """
    query = parameters(exchange.query)
    codec = query.get("encoding")
    if codec not in ("proto", "json"):
        raise GRPCError(Status.INVALID_ARGUMENT, "encoding must be proto or json")
    if "message" not in query:
        raise GRPCError(Status.INVALID_ARGUMENT, "message is missing")
    return Question(codec, request_encoding(query.get("compression")), _message(query))


def parameters(query: str) -> Mapping[str, str]:
    """The parameters of a query, their values still percent-encoded; of one that is there twice, the first."""
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
        return decode_bin(message.translate(_STANDARD))
    except ValueError:
        raise GRPCError(Status.INVALID_ARGUMENT, "message is not base64") from None


async def serve_unary(runtime: Runtime, exchange: Exchange, question: Question, call: Call) -> None:
    """Make the call and answer the request."""
    answer: Answer | None = Answer(GOING_AWAY)  # Unless there is another: the call was cut off.
    with runtime.drain.work():
        answer = await _ask(runtime, exchange, question, call)
    if answer is not None:
        await tell(exchange, question, answer)


async def tell(exchange: Exchange, question: Question | None, answer: Answer) -> None:
    """Answer the request; what can't be told in another way is an error in JSON."""
    outcome = answer.outcome
    trailers = encoded(outcome.trailers, "trailer-")
    headers = [_ACCEPT_ENCODING, *encoded(answer.initial), *trailers]
    if outcome.status is not Status.OK or question is None:
        body = error_body(outcome)
        await exchange.answer(HTTP_STATUS[outcome.status], [(b"content-type", JSON), *headers], body)
        return
    encoding = response_encoding(question.encoding, exchange.header(b"accept-encoding"))
    if encoding != IDENTITY:
        headers.append((b"content-encoding", encoding.encode()))
    if question.message is not None:
        headers.append((b"vary", b"accept-encoding, origin"))  # What caches must know of a GET.
    content_type = (b"content-type", f"application/{question.codec}".encode())
    await exchange.answer(200, [content_type, *headers], compress(encoding, answer.message))


async def _ask(runtime: Runtime, exchange: Exchange, question: Question, call: Call) -> Answer | None:
    """Read the message and make the call; None if the client leaves meanwhile."""
    limit = runtime.settings.grpc_max_message_size
    try:
        with trio.fail_at(call.deadline):
            body = await exchange.receive_all(limit)
        message = body if question.message is None else question.message
        if message is None:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"message exceeds the limit of {limit} bytes")
        payload = Payload(call.codec.decode(decompress(question.encoding, message, limit)))
    except trio.TooSlowError:
        return Answer(TOO_LATE)
    except ClientGoneError:
        return None
    except GRPCError as error:
        return Answer(outcome_of(error))

    answer: Answer | None = None
    async with trio.open_nursery() as tasks:

        async def watch() -> None:
            await exchange.gone()
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        answer = await _call(runtime, call, payload)
        tasks.cancel_scope.cancel()
    return answer


async def _call(runtime: Runtime, call: Call, payload: Payload) -> Answer:
    stream: Stream | None = None
    try:
        async with call.open(runtime, Cardinality.UNARY_UNARY) as stream:
            await stream.send_message(payload, end=True)
            reply = await stream.recv_message()
            assert reply is not None  # Or the call would have failed.
            message = call.codec.encode(reply)
    except GRPCError as error:
        assert stream is not None  # What prepares the call raises nothing of the kind.
        outcome = outcome_of(error, pairs_of(stream.trailing_metadata))
        return Answer(outcome, pairs_of(stream.initial_metadata))
    return Answer(Outcome(trailers=pairs_of(stream.trailing_metadata)), pairs_of(stream.initial_metadata), message)
