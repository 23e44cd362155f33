"""An HTTP/2 client that hides nothing: it shows every frame's effect, and when it came.

For checks that must see what a channel of `echo.rpc` handles by itself: GOAWAY, reset codes, replies to PING, raw
header lists. It speaks correct HTTP/2 (acknowledges SETTINGS and PING, reopens windows, respects the server's windows)
and judges nothing. Methods that send do not wait for the network unless they say so.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from echo.alerts import alert_in_words
from echo.probe.http2_stream import Stream
from echo.probe.line import LOST, READ_SIZE, Bytes
from echo.wire import frames
from echo.wire.header_lists import Field
from echo.wire.hpack import Decoder, Encoder

__all__ = ["GoAway", "Http2", "Stream", "open_http2"]

WINDOW: Final = 1024 * 1024  # The receive window of a stream, and of a connection.
MAX_HEADERS: Final = 4 * 1024 * 1024
_INITIAL_WINDOW, _MAX_FRAME, _MAX_STREAMS, _CONNECT_PROTOCOL = 4, 5, 3, 8  # RFC 9113 §6.5.2, RFC 8441 §3.


@dataclass(frozen=True)
class GoAway:
    """A GOAWAY, and when it came."""

    at: float
    last_stream: int
    code: int
    debug: bytes


class Http2:
    """A connection; opened by `open_http2`.

    Attributes:
        settings: The server's SETTINGS, by number; None until they have arrived.
        foreign: What was received instead of HTTP/2.
        goaways: The GOAWAY frames received.
        streams: All streams, by id.
        refusal: Why the other side ended TLS, as a clause about "it"; empty if it did not.
        ended: How the connection ended, in words; empty while it is open.
        ended_at: When it ended.
        window: The connection's send window.
        pending: Bytes waiting for the socket.
    """

    def __init__(self, stream: Bytes, scheme: str, authority: str) -> None:
        self.scheme = scheme
        self.authority = authority
        self.settings: dict[int, int] | None = None
        self.foreign = b""
        self.goaways: list[GoAway] = []
        self.streams: dict[int, Stream] = {}
        self.refusal = ""
        self.ended = ""
        self.ended_at: float | None = None
        self.window = frames.DEFAULT_WINDOW
        self._stream = stream
        self._out = bytearray(frames.PREFACE)
        self._writable = trio.Event()
        self._change = trio.Event()
        self._encoder, self._decoder = Encoder(), Decoder(MAX_HEADERS)
        self._block: tuple[int, int, bytearray] | None = None
        self._next = 1
        self._pings: dict[bytes, float | None] = {}
        announced = [(2, 0), (_INITIAL_WINDOW, WINDOW)]
        self.put(frames.frame(frames.SETTINGS, 0, 0, b"".join(frames.SETTING.pack(*pair) for pair in announced)))
        self.put(frames.window_update(0, WINDOW - frames.DEFAULT_WINDOW))

    @property
    def pending(self) -> int:
        """Bytes waiting for the socket."""
        return len(self._out)

    @property
    def max_frame(self) -> int:
        """The largest frame payload that the server accepts."""
        return (self.settings or {}).get(_MAX_FRAME, frames.DEFAULT_FRAME_SIZE)

    @property
    def max_streams(self) -> int | None:
        """How many streams the server allows at once; None if it has set no limit."""
        return (self.settings or {}).get(_MAX_STREAMS)

    @property
    def tunnels(self) -> bool:
        """Whether the server offers WebSockets over HTTP/2 (RFC 8441)."""
        return (self.settings or {}).get(_CONNECT_PROTOCOL) == 1

    def spared(self, stream: Stream) -> bool:
        """Whether a GOAWAY says that a stream was not processed, so that its call can be made on another connection."""
        return any(stream.id > goaway.last_stream for goaway in self.goaways)

    def put(self, data: bytes) -> None:
        """Queue bytes."""
        self._out += data
        self._writable.set()

    def open(self, fields: Sequence[Field], *, end: bool = False) -> Stream:
        """Send a request's head, without checking whether the server allows one more stream."""
        stream = Stream(self._next, self, window=(self.settings or {}).get(_INITIAL_WINDOW, frames.DEFAULT_WINDOW))
        self._next += 2
        self.streams[stream.id] = stream
        block = self._encoder.encode(fields)
        pieces = [block[at : at + self.max_frame] for at in range(0, len(block), self.max_frame)]
        for number, piece in enumerate(pieces):
            flags = frames.END_HEADERS if number == len(pieces) - 1 else 0
            if number:
                self.put(frames.frame(frames.CONTINUATION, flags, stream.id, piece))
            else:
                self.put(frames.frame(frames.HEADERS, flags | (frames.END_STREAM if end else 0), stream.id, piece))
        return stream

    async def until(self, happened: Callable[[], object]) -> bool:
        """Wait until the condition holds, checked whenever something changes; False if the connection ended first."""
        while not happened():
            if self.ended:
                return False
            await self.changed()
        return True

    async def changed(self) -> None:
        """Wait until something was received or sent, or the connection ended."""
        await self._change.wait()

    async def ready(self) -> bool:
        """Wait for the server's SETTINGS; False if something else came, or the connection ended first."""
        return await self.until(lambda: self.settings is not None)

    async def ping(self) -> float | None:
        """Send a PING; returns the seconds until its reply, None if the connection ended first. May wait forever."""
        data = b"probe%03d" % (len(self._pings) % 1000)
        sent = trio.current_time()
        self._pings[data] = None
        self.put(frames.ping(data))
        if not await self.until(lambda: self._pings[data] is not None):
            return None
        answered = self._pings[data]
        assert answered is not None
        return answered - sent

    def goaway(self, code: int = frames.ErrorCode.NO_ERROR) -> None:
        """Send a GOAWAY, as a client does when it is about to close."""
        self.put(frames.goaway(0, code))

    # Its two tasks

    async def write(self) -> None:
        """Send queued bytes until cancelled."""
        while True:
            await self._writable.wait()
            self._writable = trio.Event()
            while self._out:
                data = bytes(self._out)
                try:
                    await self._stream.send_all(data)
                except LOST:
                    return  # The reader notices how it ended.
                del self._out[: len(data)]
                self._wake()

    async def read(self) -> None:
        """Process everything received, until the connection ends."""
        buffer = bytearray()
        try:
            while data := await self._stream.receive_some(READ_SIZE):
                buffer += data
                if self.settings is None and not _begins_http2(buffer):
                    self.foreign = bytes(buffer[:4096])
                    if not buffer.startswith((b"HTTP/", b"<")) or b"\r\n\r\n" in buffer or len(buffer) > READ_SIZE:
                        self._end("it does not speak HTTP/2")
                        return
                    continue
                self._parse_frames(buffer)
                self._wake()
            self._end("the other side closed the connection")
        except LOST as error:  # With TLS 1.3, the server refuses a client's certificate after our handshake.
            self.refusal = alert_in_words(error.__cause__)
            self._end("the connection was reset")
        except Exception as error:  # noqa: BLE001 - A header block that cannot be decoded, a truncated frame.
            self._end(f"what came is not valid HTTP/2 ({error})")

    def _end(self, how: str) -> None:
        self.ended, self.ended_at = how, trio.current_time()
        self._wake()

    def _wake(self) -> None:
        self._change.set()
        self._change = trio.Event()

    def _parse_frames(self, buffer: bytearray) -> None:
        while len(buffer) >= frames.HEADER_SIZE:
            head, flags, stream_id = frames.HEADER.unpack_from(buffer)
            size, kind = head >> 8, head & 0xFF
            if len(buffer) < frames.HEADER_SIZE + size:
                return
            payload = bytes(buffer[frames.HEADER_SIZE : frames.HEADER_SIZE + size])
            del buffer[: frames.HEADER_SIZE + size]
            self._frame(kind, flags, stream_id & frames.MAX_STREAM_ID, payload)

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        now, stream = trio.current_time(), self.streams.get(stream_id)
        if kind == frames.DATA:
            self._data(stream, flags, payload, now)
        elif kind == frames.HEADERS:
            body = _unpadded(flags, payload)
            self._block = (stream_id, flags, bytearray(body[5:] if flags & frames.PRIORITIZED else body))
        elif kind == frames.CONTINUATION and self._block is not None:
            self._block[2].extend(payload)
        elif kind == frames.RST_STREAM and stream is not None:
            stream.reset, stream.code = now, int.from_bytes(payload, "big")
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._settings(payload)
        elif kind == frames.PING:
            if flags & frames.ACK:
                self._pings[payload] = now
            else:
                self.put(frames.ping(payload, ack=True))
        elif kind == frames.GOAWAY:
            last, code = frames.GOAWAY_HEAD.unpack_from(payload)
            self.goaways.append(GoAway(now, last & frames.MAX_STREAM_ID, code, payload[frames.GOAWAY_HEAD.size :]))
        elif kind == frames.WINDOW_UPDATE:
            (increment,) = frames.UINT32.unpack(payload)
            if stream is not None:
                stream.window += increment
            elif not stream_id:
                self.window += increment
        if kind in (frames.HEADERS, frames.CONTINUATION) and flags & frames.END_HEADERS and self._block is not None:
            self._head(*self._block, now)
            self._block = None

    def _data(self, stream: Stream | None, flags: int, payload: bytes, now: float) -> None:
        if payload:
            self.put(frames.window_update(0, len(payload)))
        if stream is None:
            return
        body = _unpadded(flags, payload)
        stream.data += body
        stream.arrivals.append((now, len(body)))
        if flags & frames.END_STREAM:
            stream.ended = now
        elif stream.held:
            stream.owed += len(payload)
        elif payload:
            self.put(frames.window_update(stream.id, len(payload)))

    def _head(self, stream_id: int, flags: int, block: bytearray, now: float) -> None:
        fields = self._decoder.decode(bytes(block))  # Even for an unknown stream: HPACK's table must stay in step.
        stream = self.streams.get(stream_id)
        if stream is not None:
            stream.heads.append([(item[0].decode("latin-1"), item[1].decode("latin-1")) for item in fields])
            if flags & frames.END_STREAM:
                stream.ended = now

    def _settings(self, payload: bytes) -> None:
        before = (self.settings or {}).get(_INITIAL_WINDOW, frames.DEFAULT_WINDOW)
        self.settings = (self.settings or {}) | dict(frames.SETTING.iter_unpack(payload))
        for stream in self.streams.values():
            stream.window += self.settings.get(_INITIAL_WINDOW, frames.DEFAULT_WINDOW) - before
        if 1 in self.settings:
            self._encoder.resize(self.settings[1])
        self.put(frames.frame(frames.SETTINGS, frames.ACK, 0))


@asynccontextmanager
async def open_http2(stream: Bytes, scheme: str, authority: str) -> AsyncIterator[Http2]:
    """Speak HTTP/2 on a stream for the length of the block, which closes it."""
    connection = Http2(stream, scheme, authority)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.read)
            nursery.start_soon(connection.write)
            try:
                yield connection
            finally:
                nursery.cancel_scope.cancel()
    finally:
        with trio.move_on_after(1.0, shield=True):  # TLS sends a close_notify; a dead peer must not hold that up.
            await stream.aclose()


def _begins_http2(buffer: bytearray) -> bool:
    """Whether a server begins like this: with SETTINGS on stream 0 (RFC 9113 §3.4), as far as received."""
    return not buffer[3:4].strip(b"\4") and not buffer[5:9].strip(b"\0") and buffer[:1] == b"\0"


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & frames.PADDED else payload
