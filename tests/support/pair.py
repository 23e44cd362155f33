"""A client's and a server's connection from `echo.wire` that exchange their bytes without sockets or an event loop."""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import hpack
from hyperframe.frame import Frame, HeadersFrame

from echo.wire import events as wire_events
from echo.wire.client import ClientConnection
from echo.wire.connection import Connection
from echo.wire.frames import ErrorCode
from echo.wire.head import Request, Response, Trailers
from echo.wire.limits import Limits
from echo.wire.message import MessageDecoder
from echo.wire.server import ServerConnection
from echo.wire.state import CLOSED
from echo.wire.status import Status
from echo.wire.stream import Stream

T = TypeVar("T")

RESET = "the call was reset by the server or a proxy on the way ("  # As the client reports it.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Octets(MessageDecoder):
    """Records what arrives, whether it forms messages or not."""

    def __init__(self, max_message_size: int) -> None:
        super().__init__(max_message_size)
        self.came = b""

    def feed(self, data: bytes) -> None:
        self.came += data


class NotingStream(Stream):
    """A stream that records the bytes of its messages."""

    def __init__(self, stream_id: int, max_message_size: int, receive_window: int, send_window: int) -> None:
        super().__init__(stream_id, max_message_size, receive_window, send_window)
        self.messages: Octets = Octets(max_message_size)


# The wire's events with stream numbers, which are easier to write in tests.


@dataclass(frozen=True)
class RequestStarted:
    stream_id: int
    request: Request


@dataclass(frozen=True)
class RequestRefused:
    stream_id: int
    status: Status


@dataclass(frozen=True)
class ResponseStarted:
    stream_id: int
    response: Response


@dataclass(frozen=True)
class CallEnded:
    stream_id: int
    trailers: Trailers


@dataclass(frozen=True)
class DataReceived:
    stream_id: int
    data: bytes


@dataclass(frozen=True)
class HalfClosed:
    stream_id: int


@dataclass(frozen=True)
class StreamReset:
    stream_id: int
    error_code: int


ConnectionFailed = wire_events.ConnectionFailed
Event: TypeAlias = object
C = TypeVar("C", bound=Connection[NotingStream])


class Numbered(Generic[C]):
    """A connection whose streams are named by their numbers, even after they have ended.

    Attributes:
        wire: The connection itself.
        streams: Every stream there ever was.
    """

    def __init__(self, wire: C) -> None:
        self.wire = wire
        self.streams: dict[int, NotingStream] = {}
        self._consumed = Counter[int]()
        self.start = wire.start
        self.take_output = wire.take_output
        self.ping = wire.ping
        self.goaway = wire.goaway

    @property
    def open_streams(self) -> set[int]:
        return set(self.wire.streams)

    @property
    def holds_nothing(self) -> bool:
        """Nothing is kept of any stream, except the record of the most recently closed ones."""
        return not self.wire.streams and not self.wire._out.ring and not self.wire._out.writable

    @property
    def send_window(self) -> int:
        """The connection's window for sending."""
        return self.wire._out.window

    @property
    def credit(self) -> int:
        """The window that the peer will be granted on the connection."""
        return self.wire._window_size - self.wire._window

    @property
    def has_output(self) -> bool:
        return self.wire.has_output

    @property
    def mid_headers(self) -> bool:
        return self.wire.mid_headers

    def receive(self, data: bytes, now: float = 0.0) -> list[Event]:
        events: list[Event] = []
        for event in self.wire.receive(data, now):
            if isinstance(event, wire_events.DataReceived):
                for stream in event.streams:
                    events.append(DataReceived(stream.id, stream.messages.came))
                    stream.messages.came = b""
            else:
                events.append(self._numbered(event))
        return events

    def take_writable(self) -> list[int]:
        return [stream.id for stream in self.wire.take_writable()]

    def is_open(self, stream_id: int) -> bool:
        return stream_id in self.streams and self.streams[stream_id].state != CLOSED

    def unsent(self, stream_id: int) -> int:
        return self.streams[stream_id].unsent.size if stream_id in self.streams else 0

    def send_message(self, stream_id: int, message: bytes) -> None:
        self.wire.send_message(self.streams[stream_id], message)

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Report that the application has consumed this many bytes."""
        self._consumed[stream_id] += size
        self.wire._give_back(self.streams[stream_id], self._consumed[stream_id])

    def reset(self, stream_id: int, error_code: int) -> None:
        self.wire.reset(self.streams[stream_id], error_code)

    def _numbered(self, event: wire_events.Event[NotingStream]) -> Event:
        match event:
            case wire_events.RequestStarted():
                self.streams[event.stream.id] = event.stream
                return RequestStarted(event.stream.id, event.request)
            case wire_events.RequestRefused():
                assert event.stream.sent_trailers is not None
                return RequestRefused(event.stream.id, event.stream.sent_trailers.status)
            case wire_events.ResponseStarted():
                return ResponseStarted(event.stream.id, event.response)
            case wire_events.CallEnded(unprocessed=True):
                return StreamReset(event.stream.id, ErrorCode.REFUSED_STREAM)
            case wire_events.CallEnded() if (event.trailers.message or "").startswith(RESET):
                return StreamReset(event.stream.id, code_of((event.trailers.message or "")[len(RESET) : -1]))
            case wire_events.CallEnded():
                return CallEnded(event.stream.id, event.trailers)
            case wire_events.HalfClosed():
                return HalfClosed(event.stream.id)
            case wire_events.StreamReset():
                return StreamReset(event.stream.id, event.error_code)
        return event


def head(stream_id: int, fields: Iterable[tuple[str, str]], *, end: bool = False) -> bytes:
    """A HEADERS frame with any header list, encoded as the first of its connection."""
    block = hpack.Encoder().encode(list(fields))
    flags = ["END_HEADERS", "END_STREAM"] if end else ["END_HEADERS"]
    return HeadersFrame(stream_id, data=block, flags=flags).serialize()


class Client(Numbered[ClientConnection[NotingStream]]):
    def __init__(self, limits: Limits = Limits()) -> None:
        super().__init__(ClientConnection(limits, NotingStream))

    @property
    def max_streams(self) -> int:
        return self.wire.max_streams

    def open(self, request: Request, *, end: bool = False) -> int:
        stream = self.wire.open(request)
        self.streams[stream.id] = stream
        if end:
            self.wire.half_close(stream)
        return stream.id

    def half_close(self, stream_id: int) -> None:
        self.wire.half_close(self.streams[stream_id])


class Server(Numbered[ServerConnection[NotingStream]]):
    def __init__(self, limits: Limits = Limits()) -> None:
        super().__init__(ServerConnection(limits, NotingStream))

    def send_response(self, stream_id: int, response: Response) -> None:
        self.wire.send_response(self.streams[stream_id], response)

    def send_trailers(self, stream_id: int, trailers: Trailers) -> bool:
        return self.wire.send_trailers(self.streams[stream_id], trailers)

    def abort(self, stream_id: int, trailers: Trailers) -> None:
        self.wire.abort(self.streams[stream_id], trailers)


class ConnectionPair:
    """A client and a server that are connected. `to_server` and `to_client` move bytes and return the events."""

    def __init__(self, limits: Limits = Limits(), client_limits: Limits | None = None) -> None:
        self.client = Client(client_limits or limits)
        self.server = Server(limits)
        self.client.start()
        self.to_server()
        self.to_client()
        self.to_server()

    def to_server(self) -> list[Event]:
        return self.server.receive(self.client.take_output())

    def to_client(self) -> list[Event]:
        return self.client.receive(self.server.take_output())

    def settle(self) -> list[Event]:
        """Exchange bytes until neither side has any left; returns the server's events."""
        events = []
        while self.client.has_output or self.server.has_output:
            events += self.to_server()
            self.to_client()
        return events

    def open(self, request: Request | None = None, *, end: bool = False) -> int:
        stream_id = self.client.open(request or Request("/s/m"), end=end)
        self.to_server()
        return stream_id


def frames(data: bytes) -> Iterator[Frame]:
    """The frames in the output of a connection."""
    data = data.removeprefix(PREFACE)
    while data:
        frame, size = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + size]))
        yield frame
        data = data[9 + size :]


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame. Identifiers have 16 bits (RFC 9113 §6.5.1), but hyperframe truncates them to 8."""
    body = b"".join(struct.pack(">HL", name, value) for name, value in values.items())
    return len(body).to_bytes(3, "big") + b"\x04\x00" + bytes(4) + body


def kinds(data: bytes) -> list[str]:
    """The frames' names, for comparing."""
    return [type(frame).__name__.removesuffix("Frame") for frame in frames(data)]


def of_type(events: Iterable[Event], kind: type[T]) -> list[T]:
    """The events of one type."""
    return [event for event in events if isinstance(event, kind)]


def code_of(text: str) -> int:
    """An error code from its name, or from ``code 14`` if it has none."""
    return int(text.removeprefix("code ")) if text.startswith("code ") else ErrorCode[text]
