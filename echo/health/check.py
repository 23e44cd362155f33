"""One call of ``grpc.health.v1.Health/Check`` (gRPC's health checking protocol), without an event loop.

`echo.wire` has the protocol and does no I/O, so a blocking socket is all that is needed around it. The two messages are
small enough to be read and written here: protobuf's library would take longer to load than the call takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, NoReturn

from multidict import MultiDict

from echo.health.line import CallFailedError, Line, TlsFiles, UnreachableError, dial
from echo.printable import printable
from echo.targets import Target
from echo.wire import (
    CallEnded,
    ClientConnection,
    ConnectionFailed,
    Event,
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
_SERVICE_FIELD: Final = b"\x0a"  # Field 1, of a length.


@dataclass(frozen=True, slots=True)
class Call:
    """What to ask, and how long to wait, in seconds.

    Attributes:
        service: Whose health; empty for the server as a whole.
        connect_timeout: For a connection, up to the server's first HTTP/2 frame.
        timeout: For the call; the server is told.
        metadata: Sent with it, names and values.
        user_agent: Likewise.
    """

    service: str = ""
    connect_timeout: float = 1.0
    timeout: float = 1.0
    metadata: Sequence[tuple[str, str]] = ()
    user_agent: str | None = None


def check(address: Target, call: Call, tls: TlsFiles | None = None) -> str:
    """The status that the server reports: `SERVING`, or another name of the protocol's.

    Raises:
        UnreachableError: There is no connection, or what is there does not speak HTTP/2.
        CallFailedError: The call ended with an error, or not in time.
        UnusableFileError: A file of TLS can't be used.
        ValueError: The metadata can't be sent.
    """
    with dial(address, call.connect_timeout, tls, "h2") as line:
        connection = ClientConnection(Limits(), Stream)
        connection.start()
        _meet(connection, line, call.connect_timeout)
        line.deadline = monotonic() + call.timeout
        request = Request(
            _PATH,
            scheme="http" if tls is None else "https",
            authority=address.authority,
            timeout=call.timeout,
            metadata=MultiDict(call.metadata),
            user_agent=call.user_agent,
        )
        stream = connection.open(request)
        connection.send_message(stream, encode_message(_encode(call.service)))
        connection.half_close(stream)
        return _outcome(connection, stream, line, call.timeout)


def _meet(connection: ClientConnection[Stream], line: Line, timeout: float) -> None:
    """Wait for the server's SETTINGS, by which it shows that it speaks HTTP/2 (RFC 9113 §3.4)."""
    try:
        while not any(isinstance(event, SettingsReceived) for event in _exchange(connection, line)):
            pass
    except TimeoutError:
        raise UnreachableError(f"connected, but no HTTP/2 within {timeout:g} s") from None
    except (OSError, _LostError) as error:
        raise UnreachableError(_words(error)) from None


def _outcome(connection: ClientConnection[Stream], stream: Stream, line: Line, timeout: float) -> str:
    """Wait for the call's end."""
    try:
        while True:
            for event in _exchange(connection, line):
                if isinstance(event, CallEnded) and event.stream is stream:
                    if event.trailers.status is not Status.OK:
                        _refuse(event.trailers.status, event.trailers.message)
                    return _decode(connection.next_message(stream))
    except TimeoutError:
        raise CallFailedError(f"no answer within {timeout:g} s") from None
    except (OSError, _LostError) as error:
        raise CallFailedError(_words(error)) from None


class _LostError(Exception):
    """The peer ended the connection."""


def _exchange(connection: ClientConnection[Stream], line: Line) -> Sequence[Event[Stream]]:
    """Send what there is, and wait for what comes."""
    while connection.has_output:
        line.send(connection.take_output())
    data = line.receive()
    if not data:
        raise _LostError("the server closed the connection")
    events = connection.receive(data, monotonic())
    for event in events:
        if isinstance(event, ConnectionFailed):
            raise _LostError(f"the server does not speak HTTP/2 as it should: {event.reason}")
    return events


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _refuse(status: Status, message: str | None) -> NoReturn:
    raise CallFailedError(f"{status.name}: {printable(message or 'no message')}")


def _encode(service: str) -> bytes:
    """A HealthCheckRequest."""
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
    """The status in a HealthCheckResponse, which has no other field."""
    if response == b"":
        return _STATUSES[0]
    if response is not None and len(response) == 2 and response[:1] == _STATUS_FIELD and response[1] < len(_STATUSES):
        return _STATUSES[response[1]]
    raise CallFailedError("the answer is no HealthCheckResponse")
