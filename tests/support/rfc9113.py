"""One of our HTTP/2 roles, with the peer played by hand: bytes in, our reaction out.

The only place among the tests of RFC 9113 that knows how our wire is built and driven. What we make of frames is one
short text, `Endpoint.reaction`:

- ``nothing``: nobody is told anything, whether calls are open or not;
- ``stream CODE``: RST_STREAM with that code, and the call that was open on the stream has ended (RFC 9113 §5.4.2);
- ``connection CODE``: GOAWAY with that code, and `ConnectionFailed` as the last event (RFC 9113 §5.4.1);
- ``told CODE``: the application hears of the peer's reset;
- for a server ``call`` (a request reached the application), ``HTTP 405`` and ``grpc-status 8`` (we answered it);
- for a client ``head`` (of a response), ``status OK`` (the call has ended);
- for stream 0: the frames that we answered with, as ``PING ACK``.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import hpack
from multidict import MultiDict

from echo.wire.client import ClientConnection
from echo.wire.events import CallEnded, ConnectionFailed, DataReceived, RequestStarted, ResponseStarted, StreamReset
from echo.wire.head import Request, Trailers
from echo.wire.limits import Limits
from echo.wire.message import MessageDecoder
from echo.wire.server import ServerConnection
from echo.wire.stream import Stream
from tests.support.http2_frames import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    WINDOW_UPDATE,
    Frame,
    code_name,
    parse,
    settings,
)

Role: TypeAlias = Literal["server", "client"]
Part: TypeAlias = "bytes | Callable[[Endpoint], bytes]"
"""What a peer sends. A function depends on the state of the encoder, or has us do something first."""


class Octets(MessageDecoder):
    """Records what arrives, whether it forms messages or not."""

    def __init__(self, max_message_size: int) -> None:
        super().__init__(max_message_size)
        self.fed = b""

    def feed(self, data: bytes) -> None:
        self.fed += data
        super().feed(data)


class NotingStream(Stream):
    """A stream that records the bytes of its messages."""

    def __init__(self, stream_id: int, max_message_size: int, receive_window: int, send_window: int) -> None:
        super().__init__(stream_id, max_message_size, receive_window, send_window)
        self.messages = Octets(max_message_size)


class Endpoint:
    """One of our roles, and its output since `look` was last called.

    Attributes:
        encoder: The peer's.
        decoder: The peer's.
        events: What our application was told.
        frames: What we sent.
        heads: The header lists that we sent, by stream.
        failed: The connection is over; nothing more is fed.
        first: The very first bytes that we sent.
        open_calls: The streams of the calls that our application knows of and that have not ended.
    """

    def __init__(self, role: Role, *, begin: bytes | None = None) -> None:
        self.role = role
        self.encoder = hpack.Encoder()
        self.events: list[object] = []
        self.frames: list[Frame] = []
        self.heads: dict[int, list[dict[str, str]]] = {}
        self.failed = False
        self.first = b""
        self.open_calls: set[int] = set()
        self.decoder = hpack.Decoder()
        self._now = 0.0
        self._connection: ServerConnection[NotingStream] | ClientConnection[NotingStream]
        self._streams: dict[int, NotingStream] = {}
        if role == "server":
            self._connection = ServerConnection(Limits(), NotingStream)
        else:
            self._connection = ClientConnection(Limits(), NotingStream)
            self._connection.start()
        if begin is None:
            begin = (PREFACE if role == "server" else b"") + settings() + SETTINGS_ACK
        self.feed(begin)

    def feed(self, *parts: Part, size: int | None = None) -> None:
        """Send the peer's bytes in pieces of ``size`` bytes, or larger ones if that would make thousands of pieces."""
        sent = b"".join(part if isinstance(part, bytes) else part(self) for part in parts)
        step = max(size or len(sent), len(sent) // 1_000, 1)
        for start in range(0, len(sent), step):
            if self.failed:
                break
            for event in list(self._connection.receive(sent[start : start + step], self._now)):
                assert not self.failed, "something came after ConnectionFailed"
                self.events.append(event)
                self._note(event)
        self._collect()

    def look(self) -> None:
        """Forget the output so far."""
        self.events, self.frames, self.heads = [], [], {}

    def later(self) -> None:
        """Let time pass, so that no rate limit is near exhaustion."""
        self._now += 1_000.0

    def open(self, *, end: bool = False, metadata: Mapping[str, str] | None = None) -> int:
        """Open a call of ours; returns the id of its stream."""
        assert isinstance(self._connection, ClientConnection)
        stream = self._connection.open(Request("/s/m", metadata=MultiDict(metadata or {})))
        if end:
            self._connection.half_close(stream)
        self._streams[stream.id] = stream
        self.open_calls.add(stream.id)
        self._collect()
        return stream.id

    def cancel(self, stream_id: int) -> None:
        """End a call from our side."""
        self._connection.reset(self._streams[stream_id], CANCEL)
        self.open_calls.discard(stream_id)
        self._collect()

    def drain(self) -> None:
        """Accept no further streams."""
        self._connection.goaway()
        self._collect()

    def send_message(self, stream_id: int, message: bytes) -> None:
        """Queue bytes from our application on an open call."""
        self._connection.send_message(self._streams[stream_id], message)
        self._collect()

    @property
    def settings(self) -> list[tuple[int, int]]:
        """The settings that we have announced since `look`."""
        found = b"".join(came.payload for came in self.frames if came.kind == SETTINGS)
        return list(struct.iter_unpack(">HL", found))

    @property
    def max_streams(self) -> int:
        """The number of concurrent calls that the server allows us as a client."""
        assert isinstance(self._connection, ClientConnection)
        return self._connection.max_streams

    def _note(self, event: object) -> None:
        if isinstance(event, ConnectionFailed):
            self.failed = True
        elif isinstance(event, RequestStarted):
            self.open_calls.add(stream_of(event))
            self._streams[event.stream.id] = event.stream
        elif isinstance(event, (CallEnded, StreamReset)):
            assert stream_of(event) in self.open_calls, f"{event} is of no open call"
            self.open_calls.discard(stream_of(event))

    def _collect(self) -> None:
        while output := self._connection.take_output():
            self.first = self.first or output
            block = b""
            for came in parse(output):
                self.frames.append(came)
                if came.kind in (HEADERS, CONTINUATION):
                    block = came.payload if came.kind == HEADERS else block + came.payload
                    if came.flags & END_HEADERS:
                        fields = {str(name): str(value) for name, value in self.decoder.decode(block)}
                        self.heads.setdefault(came.stream, []).append(fields)

    # Our output

    def body(self, stream: int) -> bytes:
        """The DATA that we sent on a stream."""
        return b"".join(came.payload for came in self.frames if came.kind == DATA and came.stream == stream)

    def received(self, stream: int) -> bytes:
        """The DATA that reached the application."""
        messages = self._streams[stream].messages
        assert isinstance(messages, Octets)
        assert not messages.fed or any(isinstance(event, DataReceived) for event in self.events)
        return messages.fed

    def ended(self, stream: int) -> bool:
        """Whether we ended our side of it."""
        return any(came.ends for came in self.frames if came.stream == stream)

    def requests(self) -> list[Request]:
        """The requests that reached the application."""
        return [event.request for event in self.events if isinstance(event, RequestStarted)]

    def ends(self) -> list[Trailers]:
        """How calls of ours have ended."""
        return [event.trailers for event in self.events if isinstance(event, CallEnded)]

    def reaction(self, stream: int) -> str:
        """Our reaction, as described in the module's docstring."""
        goaways = [came for came in self.frames if came.kind == GOAWAY]
        if self.failed:
            failure = self.events[-1]
            assert isinstance(failure, ConnectionFailed)
            assert [came.error_code for came in goaways] == [failure.error_code], "what GOAWAY says is not the failure"
            after = self.frames[self.frames.index(goaways[-1]) + 1 :]
            # The rest of a response may have been waiting.
            assert all(came.kind == DATA for came in after), f"frames after GOAWAY: {after}"
            return f"connection {code_name(failure.error_code)}"
        assert not goaways, "GOAWAY, but the connection has not failed"
        if not stream:
            return (
                ", ".join(came.name for came in self.frames if not came.stream and came.kind != WINDOW_UPDATE)
                or "nothing"
            )
        stray = [came for came in self.frames if came.stream not in (0, stream) and came.kind != WINDOW_UPDATE]
        assert not stray, f"sent on streams that are not concerned: {stray}"
        told = [event for event in self.events if isinstance(event, OF_STREAMS)]
        assert {stream_of(event) for event in told} <= {stream}, f"told of streams that are not concerned: {told}"
        resets = [code_name(came.error_code) for came in self.frames if came.kind == RST_STREAM]
        # A client that has the status of its call need not say why it resets the stream.
        harmless = ("NO_ERROR", "CANCEL") if any(isinstance(event, CallEnded) for event in told) else ("NO_ERROR",)
        errors = [code for code in resets if code not in harmless]
        if errors:
            assert len(set(errors)) == 1, "one stream, several errors"
            assert stream not in self.open_calls, "the stream was reset, and the application does not know"
            if errors[0] != "STREAM_CLOSED":  # What arrives after the end does not change how it ended.
                assert not any(isinstance(event, CallEnded) and event.trailers.status.value == 0 for event in told)
            return f"stream {errors[0]}"
        for head in self.heads.get(stream, []):
            if head.get(":status", "200") != "200":
                return f"HTTP {head[':status']}"
            if "grpc-status" in head:
                return f"grpc-status {head['grpc-status']}"
        for event in reversed(told):
            match event:
                case CallEnded() if (event.trailers.message or "").startswith("the call was reset by "):
                    said = (event.trailers.message or "").partition("(")[2].rstrip(")")
                    return f"told {code_name(int(said[5:])) if said.startswith('code ') else said}"
                case CallEnded():
                    return f"status {event.trailers.status.name}"
                case StreamReset():
                    return f"told {code_name(event.error_code)}"
                case RequestStarted():
                    return "call"
                case ResponseStarted():
                    return "head"
        return "stream NO_ERROR" if resets else "nothing"


OF_STREAMS = (RequestStarted, ResponseStarted, CallEnded, StreamReset)


def stream_of(event: object) -> int:
    """The id of an event's stream."""
    return int(event.stream.id)  # type: ignore[attr-defined]
