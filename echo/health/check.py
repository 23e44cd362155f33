"""One call of ``grpc.health.v1.Health/Check`` (gRPC's health checking protocol), without an event loop.

`echo.wire` implements the protocol without I/O, so all it needs is a blocking socket. The two messages are so small
that they are encoded and decoded here: the protobuf library would take longer to load than the call takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from multidict import MultiDict

from echo.health.line import CallFailedError, Line, TlsFiles, UnreachableError, dial, in_words
from echo.printable import printable
from echo.targets import Target
from echo.wire import (
    CallEnded,
    ClientConnection,
    ConnectionFailed,
    Event,
    GRPCError,
    Limits,
    Request,
    SettingsReceived,
    Status,
    Stream,
    encode_message,
)

__all__ = ["SERVING", "Call", "check"]

SERVING: Final = "SERVING"
_STATUSES: Final = ("UNKNOWN", SERVING, "NOT_SERVING", "SERVICE_UNKNOWN")
_PATH: Final = "/grpc.health.v1.Health/Check"
_STATUS_FIELD: Final = b"\x08"  # Field 1, a varint.
_SERVICE_FIELD: Final = b"\x0a"  # Field 1, length-delimited.


@dataclass(frozen=True, slots=True)
class Call:
    """What to ask, and how long to wait.

    Attributes:
        service: The service to ask about; empty for the whole server.
        connect_timeout: Seconds to connect, up to the server's first HTTP/2 frame.
        timeout: Seconds for the call; also sent to the server.
        metadata: Names and values to send.
        user_agent: The user-agent to send.
    """

    service: str = ""
    connect_timeout: float = 1.0
    timeout: float = 1.0
    metadata: Sequence[tuple[str, str | bytes]] = ()
    user_agent: str | None = None


def check(address: Target, call: Call, tls: TlsFiles | None = None) -> str:
    """The status that the server reports: `SERVING`, or another name of the protocol's.

    Raises:
        UnreachableError: Could not connect, or the peer does not speak HTTP/2.
        CallFailedError: The call failed, or did not end in time.
        UnusableFileError: A TLS file can't be used.
        ValueError: The metadata can't be sent.
    """
    with dial(address, call.connect_timeout, tls, "h2") as line:
        connection = ClientConnection(Limits(), Stream)
        connection.start()
        _await_settings(connection, line, call.connect_timeout)
        line.deadline = monotonic() + call.timeout
        request = Request(
            _PATH,
            scheme="http" if tls is None else "https",
            authority=address.authority,
            timeout=call.timeout,
            metadata=MultiDict(call.metadata),
            user_agent=call.user_agent,
        )
        try:
            stream = connection.open(request)
        except GRPCError as error:  # More metadata than the server takes.
            raise CallFailedError(f"{error.status.name}: {error.message}") from None
        connection.send_message(stream, encode_message(_encode(call.service)))
        connection.half_close(stream)
        return _await_status(connection, stream, line, call.timeout)


def _await_settings(connection: ClientConnection[Stream], line: Line, timeout: float) -> None:
    """Wait for the server's SETTINGS, which prove that it speaks HTTP/2 (RFC 9113 §3.4)."""
    try:
        while not any(isinstance(event, SettingsReceived) for event in _exchange(connection, line)):
            pass
    except TimeoutError:
        raise UnreachableError(f"connected, but no HTTP/2 within {timeout:g} s") from None
    except (OSError, _LostError) as error:
        raise UnreachableError(in_words(error)) from None


def _await_status(connection: ClientConnection[Stream], stream: Stream, line: Line, timeout: float) -> str:
    """Wait for the call to end; returns the health status it reports."""
    try:
        while True:
            for event in _exchange(connection, line):
                if isinstance(event, CallEnded) and event.stream is stream:
                    status, message = event.trailers.status, event.trailers.message
                    if status is not Status.OK:
                        raise CallFailedError(f"{status.name}: {printable(message or 'no message')}")
                    return _decode(connection.next_message(stream))
    except TimeoutError:
        raise CallFailedError(f"no answer within {timeout:g} s") from None
    except (OSError, _LostError) as error:
        raise CallFailedError(in_words(error)) from None


class _LostError(Exception):
    """The peer closed the connection, or violated HTTP/2."""


def _exchange(connection: ClientConnection[Stream], line: Line) -> Sequence[Event[Stream]]:
    """Send all pending output, then wait for input."""
    while connection.has_output:
        line.send(connection.take_output())
    data = line.receive()
    if not data:
        raise _LostError("the server closed the connection")
    events = connection.receive(data, monotonic())
    for event in events:
        if isinstance(event, ConnectionFailed):
            raise _LostError(event.reason if event.foreign else f"the server violated HTTP/2: {event.reason}")
    return events


def _encode(service: str) -> bytes:
    """Encode a HealthCheckRequest."""
    name = service.encode()
    if not name:
        return b""
    length, prefix = len(name), bytearray(_SERVICE_FIELD)
    while length > 0x7F:
        prefix.append(0x80 | length & 0x7F)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + name


def _decode(response: bytes | None) -> str:
    """Decode the status, the only field of a HealthCheckResponse."""
    if response == b"":
        return _STATUSES[0]
    if response is not None and len(response) == 2 and response[:1] == _STATUS_FIELD and response[1] < len(_STATUSES):
        return _STATUSES[response[1]]
    raise CallFailedError("the answer is not a HealthCheckResponse")
