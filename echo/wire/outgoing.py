"""A connection's output: frames in the order they are sent, created as late as possible.

Header lists become frames at once, since HPACK's table must see them in sending order. Messages wait in their stream's
buffer, and the streams with something to send form a ring. When output is taken, each stream in turn adds one DATA
frame, until the output is full or the windows are used up (RFC 9113 §5.2). So a burst of small messages fits in one
frame, and a busy stream cannot starve another. Unsent data is bounded by the output and by the streams' buffers; when
a buffer is full, the layer above makes its sender wait. A stream's end follows its messages.
"""

from collections.abc import Callable
from typing import Final, Generic

from echo.wire import frames
from echo.wire.frames import DATA, DEFAULT_WINDOW, END_HEADERS, END_STREAM, HEADER, HEADER_SIZE
from echo.wire.hpack import Encoder
from echo.wire.settings import PeerSettings
from echo.wire.state import SEND_END, SEND_HEADERS, TRANSITIONS
from echo.wire.stream import END_OF_MESSAGES, S

_HEADER_PACK: Final = HEADER.pack


class Outgoing(Generic[S]):
    """The output of a connection.

    Attributes:
        size: Bytes in the output.
        window: What the connection may send (RFC 9113 §6.9.1).
        peer: The peer's settings.
        encoder: Encodes header lists; blocks are to be added in the order in which they are made.
        ring: Streams that may have something to send, by id, the next one first.
        writable: Streams whose senders may continue: their buffers have room again, or they are over.
        sent_data: Whether DATA or a response's head has become a frame since this was last set to False.
    """

    def __init__(self, max_output: int, max_unsent: int, ended: Callable[[S], None]) -> None:
        self.size: int = 0
        self.window: int = DEFAULT_WINDOW
        self.peer: PeerSettings = PeerSettings()
        self.writable: list[S] = []
        self.sent_data: bool = False
        self._max_output = max_output
        self._max_unsent = max_unsent
        self._ended = ended  # Called once a stream's end is in a frame.
        self.encoder: Encoder = Encoder()
        self._chunks: list[bytes] = []
        self.ring: dict[int, S] = {}

    @property
    def pending(self) -> bool:
        """Whether `take` would return anything."""
        return bool(self._chunks or (self.ring and self.window > 0))

    def take(self) -> bytes:
        """Take the bytes to write next, at most about ``max_output``."""
        ring = self.ring
        full = False
        while ring and not full:
            for stream in [*ring.values()]:
                if self.size >= self._max_output or (self.window <= 0 and stream.unsent.size):
                    full = True
                    break  # The ring stays as it is.
                del ring[stream.id]
                if self.send_frame(stream):
                    ring[stream.id] = stream
        data = b"".join(self._chunks)
        self._chunks.clear()
        self.size = 0
        return data

    def put(self, frame: bytes) -> None:
        """Add a frame."""
        self._chunks.append(frame)
        self.size += len(frame)

    def put_block(self, stream: S, block: bytes, *, end: bool = False) -> None:
        """Add the last block of `encoder`, split into frames by the peer's SETTINGS_MAX_FRAME_SIZE."""
        stream.step(SEND_HEADERS)
        if end:
            stream.step(SEND_END)
        stream.head_sent = True
        kind, flags, limit = frames.HEADERS, END_STREAM if end else 0, self.peer.max_frame_size
        while len(block) > limit:
            self.put(frames.frame(kind, flags, stream.id, block[:limit]))
            kind, flags, block = frames.CONTINUATION, 0, block[limit:]  # RFC 9113 §6.10
        self.put(frames.frame(kind, flags | END_HEADERS, stream.id, block))

    def enqueue(self, stream: S) -> None:
        """Put the stream into the ring if it has anything to send."""
        if stream.unsent.size or (stream.end is not None and SEND_END in TRANSITIONS[stream.state]):
            self.ring.setdefault(stream.id, stream)

    def forget(self, stream: S) -> None:
        """Drop the unsent messages of a stream that is over, and add it to `writable`, so that its sender wakes."""
        self.ring.pop(stream.id, None)
        stream.unsent.clear()
        self.writable.append(stream)

    def send(self, stream: S) -> None:
        """Move what the stream can send now, and its end, to the output; the rest waits in the ring for its turn."""
        while self.send_frame(stream):
            if self.size >= self._max_output:
                break
        if stream.send_window > 0:
            self.enqueue(stream)

    def send_frame(self, stream: S) -> bool:
        """Move one DATA frame of the stream, and its end, to the output. Returns whether it can send more now."""
        unsent = stream.unsent
        size = queued = unsent.size
        if size:
            if size > stream.send_window or size > self.window or size > self.peer.max_frame_size:
                size = min(stream.send_window, self.window, self.peer.max_frame_size)
                if size <= 0:
                    return False  # A window is used up; WINDOW_UPDATE puts the stream back into the ring.
            flags = END_STREAM if stream.end is END_OF_MESSAGES and size == queued else 0
            header = _HEADER_PACK(size << 8 | DATA, flags, stream.id)
            data = unsent.take(size)
            if size < 4_096:
                self._chunks.append(header + data)
            else:  # Large payloads are copied only once, by `take`.
                self._chunks += (header, data)
            self.size += HEADER_SIZE + size
            stream.send_window -= size
            self.window -= size
            self.sent_data = True
            if queued > self._max_unsent >= queued - size:
                self.writable.append(stream)
            if size < queued:
                return True
            if flags:
                stream.step(SEND_END)
                self._ended(stream)
                return False
        if stream.end is not None:
            if stream.end is END_OF_MESSAGES:
                self.put(frames.frame(DATA, END_STREAM, stream.id))
                self.sent_data = True
                stream.step(SEND_END)
            elif not isinstance(stream.end, int):
                self.put_block(stream, self.encoder.encode(stream.end), end=True)
            self._ended(stream)
        return False
