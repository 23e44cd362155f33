"""Two real connections of the wire, client and server, that hand each other their bytes: no sockets, no event loop."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from hyperframe.frame import Frame

from echo.wire.client import ClientConnection
from echo.wire.events import Event
from echo.wire.head import Request
from echo.wire.limits import Limits
from echo.wire.server import ServerConnection

T = TypeVar("T")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class ConnectionPair:
    """A client and a server that are connected; `to_server` and `to_client` move bytes and give the events."""

    def __init__(self, limits: Limits = Limits(), client_limits: Limits | None = None) -> None:
        self.client = ClientConnection(client_limits or limits)
        self.server = ServerConnection(limits)
        self.client.start()
        self.server.start()
        self.to_server()
        self.to_client()
        self.to_server()

    def to_server(self) -> list[Event]:
        return list(self.server.receive(self.client.take_output()))

    def to_client(self) -> list[Event]:
        return list(self.client.receive(self.server.take_output()))

    def settle(self) -> list[Event]:
        """Exchange bytes until neither side has any; gives the server's events."""
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
    """The frames in what a connection put out."""
    data = data.removeprefix(PREFACE)
    while data:
        frame, size = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + size]))
        yield frame
        data = data[9 + size :]


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame, whose names may be of 16 bits (RFC 9113 §6.5.1); hyperframe cuts them to 8."""
    body = b"".join(struct.pack(">HL", name, value) for name, value in values.items())
    return len(body).to_bytes(3, "big") + b"\x04\x00" + bytes(4) + body


def kinds(data: bytes) -> list[str]:
    """The frames' names, for comparing."""
    return [type(frame).__name__.removesuffix("Frame") for frame in frames(data)]


def of_type(events: Iterable[Event], kind: type[T]) -> list[T]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]
