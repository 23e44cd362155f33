"""Like `tests.support.pair`, without stream numbers: two connections of `echo.wire`, as the layers above use them."""

from collections.abc import Iterable
from typing import TypeVar

from hpack import Encoder, NeverIndexedHeaderTuple

from echo.wire.client import ClientConnection
from echo.wire.connection import Connection
from echo.wire.events import Event
from echo.wire.head import Request
from echo.wire.header_lists import Field
from echo.wire.limits import Limits
from echo.wire.server import ServerConnection
from echo.wire.stream import Stream

T = TypeVar("T")


class ConnectionPair:
    """A client and a server that are connected. `to_server` and `to_client` move bytes and return the events."""

    def __init__(self, limits: Limits = Limits(), client_limits: Limits | None = None) -> None:
        self.client = ClientConnection(client_limits or limits, Stream)
        self.server = ServerConnection(limits, Stream)
        self.client.start()
        self.to_server()
        self.to_client()
        self.to_server()

    def to_server(self) -> list[Event[Stream]]:
        return list(self.server.receive(self.client.take_output()))

    def to_client(self) -> list[Event[Stream]]:
        return list(self.client.receive(self.server.take_output()))

    def settle(self) -> list[Event[Stream]]:
        """Exchange bytes until neither side has any left; returns the server's events."""
        events = []
        while self.client.has_output or self.server.has_output:
            events += self.to_server()
            self.to_client()
        return events

    def open(self, request: Request | None = None, *, end: bool = False) -> tuple[Stream, Stream]:
        """Open a call; returns the client's stream and the server's."""
        stream = self.client.open(request or Request("/s/m"))
        if end:
            self.client.half_close(stream)
        self.to_server()
        return stream, self.server.streams[stream.id]


def messages(connection: Connection[Stream], stream: Stream) -> list[bytes]:
    """Take all messages that have arrived on the stream."""
    taken = []
    while (message := connection.next_message(stream)) is not None:
        taken.append(message)
    return taken


def head(stream_id: int, fields: Iterable[Field], *, end: bool = False) -> bytes:
    """A HEADERS frame with any fields, valid or not. It does not change the HPACK table."""
    block = Encoder().encode([NeverIndexedHeaderTuple(name, value) for name, value in fields])
    return raw_frame(0x1, 0x5 if end else 0x4, stream_id, block)


def raw_frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Any frame, valid or not."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload
