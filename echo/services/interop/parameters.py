"""The parameters of a request of gRPC's interoperability tests, checked before anything is sent.

A decoded request can occupy many times its size on the wire. Only its parameters are kept, so that a waiting call does
not hold the request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from echo.rpc import GRPCError, Status

MOST_RESPONSES: Final = 1_000  # Of one request, and of all requests of a HalfDuplexCall.
LONGEST: Final = 3600.0  # Seconds that the responses to one request may take.
LONGEST_MESSAGE: Final = 1_024  # Characters of a status message.
MICROSECOND: Final = 1e-6

Request: TypeAlias = Any
"""A message of a class made at run time, which a type checker can't know."""

_FRAMING: Final = 512  # Bytes of a response besides the body of its payload, at most.


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a response is to be like.

    Attributes:
        size: Bytes of its payload.
        interval: Seconds to wait before it is sent.
        compressed: Whether it is sent compressed; None leaves that to the server.
    """

    size: int
    interval: float = 0.0
    compressed: bool | None = None


def invalid(text: str) -> GRPCError:
    """The error for a request that asks for too much, or for something unknown."""
    return GRPCError(Status.INVALID_ARGUMENT, text)


def response_of(request: Request, max_size: int) -> Parameters:
    """What a ``SimpleRequest`` asks for.

    Raises:
        GRPCError: INVALID_ARGUMENT: it can't be had.
    """
    _check_type(request)
    size = _size("response_size", request.response_size, max_size)
    return Parameters(size, compressed=_optional(request, "response_compressed"))


def responses_of(request: Request, max_size: int) -> list[Parameters]:
    """What a ``StreamingOutputCallRequest`` asks for.

    Raises:
        GRPCError: INVALID_ARGUMENT: it can't be had.
    """
    _check_type(request)
    asked: Sequence[Any] = request.response_parameters
    check_count(len(asked))
    parameters, total = [], 0.0
    for each in asked:
        size = _size("size", each.size, max_size)
        if each.interval_us < 0:
            raise invalid(f"interval_us: {each.interval_us} is negative")
        interval = each.interval_us * MICROSECOND
        total += interval
        parameters.append(Parameters(size, interval, _optional(each, "compressed")))
    if total > LONGEST:
        raise invalid(f"interval_us: the responses would take {total:.0f} s (at most {LONGEST:.0f})")
    return parameters


def check_count(responses: int) -> None:
    """Refuse too many responses with INVALID_ARGUMENT."""
    if responses > MOST_RESPONSES:
        raise invalid(f"response_parameters: {responses} responses are too many (at most {MOST_RESPONSES})")


def check_status(request: Request) -> None:
    """End the call with the status that a request asks for, if it asks for any but OK.

    Raises:
        GRPCError: It; or INVALID_ARGUMENT: there is no such status, or its message is too long.
    """
    code, message = request.response_status.code, request.response_status.message
    if not code:
        return
    try:
        status = Status(code)
    except ValueError:
        raise invalid(f"response_status: {code} is not the code of a status") from None
    if len(message) > LONGEST_MESSAGE:
        raise invalid(
            f"response_status: a message of {len(message)} characters is too long (at most {LONGEST_MESSAGE})"
        )
    raise GRPCError(status, message or None)


def check_compression(request: Request, *, compressed: bool) -> None:
    """Refuse a request with INVALID_ARGUMENT if it expected to arrive compressed and did not, or the reverse."""
    expected = _optional(request, "expect_compressed")
    if expected is not None and expected is not compressed:
        raise invalid(f"expect_compressed: the request arrived {'' if compressed else 'un'}compressed")


def _check_type(request: Request) -> None:
    if request.response_type:
        raise invalid(f"response_type: {request.response_type} is not a known PayloadType")


def _size(field: str, size: int, max_size: int) -> int:
    largest = max(0, max_size - _FRAMING)
    if not 0 <= size <= largest:
        raise invalid(f"{field}: {size} bytes are not possible (0 to {largest})")
    return size


def _optional(message: Any, field: str) -> bool | None:
    """The value of a ``BoolValue``; None if it is absent."""
    return bool(getattr(message, field).value) if message.HasField(field) else None
