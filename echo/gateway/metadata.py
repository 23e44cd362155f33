"""What a request brings along for the gRPC call: metadata and deadline, from HTTP and from the WebSocket handshake."""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from multidict import MultiDict

from echo.rpc import GRPCError, Status
from echo.wire.metadata import Metadata, encode_metadata
from echo.wire.timeout import decode_timeout

REQUEST_ID: Final = "x-request-id"
FORWARDED_FOR: Final = "x-forwarded-for"
PREFIX: Final = "grpc-metadata-"

_PASSED_ON: Final = frozenset({"authorization", "traceparent", "tracestate", "baggage", "b3", REQUEST_ID})
_PRINTABLE: Final = re.compile(r"[\x20-\x7e]*", re.ASCII)


@dataclass(frozen=True)
class CallContext:
    """What a call is to be made with.

    Attributes:
        metadata: For the call.
        timeout: Seconds that the client gives it, or None.
        request_id: The client's own or a new one; the response is to carry it.
    """

    metadata: Metadata
    timeout: float | None
    request_id: str


def call_context(headers: Iterable[tuple[bytes, bytes]], client: str | None) -> CallContext:
    """Read what concerns the call from a request's headers.

    Headers that only pass through are left out where gRPC cannot carry their value. What the client addresses to gRPC,
    ``Grpc-Timeout`` and ``Grpc-Metadata-*``, must be right.

    Args:
        headers: As ASGI gives them, names in lower case.
        client: The address the request came from.

    Raises:
        GRPCError: INVALID_ARGUMENT.
    """
    metadata: Metadata = MultiDict()
    timeout: float | None = None
    forwarded = []
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        if name == "grpc-timeout":
            timeout = _timeout(value)
        elif name.startswith(PREFIX):
            _add_custom(metadata, name.removeprefix(PREFIX), value)
        elif name == FORWARDED_FOR:
            forwarded.append(value)
        elif (name in _PASSED_ON or name.startswith("x-b3-")) and _PRINTABLE.fullmatch(value):
            metadata.add(name, value)
    if client is not None:
        forwarded.append(client)
    chain = ", ".join(forwarded)
    if chain and _PRINTABLE.fullmatch(chain):
        metadata[FORWARDED_FOR] = chain
    request_id = str(metadata.get(REQUEST_ID) or uuid4())
    metadata[REQUEST_ID] = request_id
    return CallContext(metadata, timeout, request_id)


def _timeout(value: str) -> float:
    try:
        return decode_timeout(value)
    except ValueError as error:
        raise GRPCError(Status.INVALID_ARGUMENT, f"Grpc-Timeout: {error}") from error


def _add_custom(metadata: Metadata, name: str, value: str) -> None:
    try:
        decoded = b64decode(value + "=" * (-len(value) % 4), validate=True) if name.endswith("-bin") else value
        encode_metadata([(name, decoded)])
    except (binascii.Error, ValueError, TypeError) as error:
        raise GRPCError(Status.INVALID_ARGUMENT, f"Grpc-Metadata-{name}: {error}") from error
    metadata.add(name, decoded)
