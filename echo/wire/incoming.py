"""From bytes, cut anywhere, to whole frames (RFC 9113 §4). A frame is checked by its header, before its payload.

A header block split over several frames is joined here, so the layer above always sees HEADERS with the whole block. No
other frame may arrive on the connection until the block is complete (RFC 9113 §4.3, §6.10).
"""

from collections.abc import Callable, Iterator
from typing import Final

from echo.wire import frames
from echo.wire.errors import PeerConnectionError
from echo.wire.frames import (
    CONTINUATION,
    DATA,
    DEFAULT_FRAME_SIZE,
    END_HEADERS,
    HEADER,
    HEADER_SIZE,
    HEADERS,
    PREFACE,
    SETTINGS,
    UINT32,
    ErrorCode,
)
from echo.wire.preface import check_client, check_server

MAX_BLOCK_FRAMES: Final = 64  # CVE-2024-27316: endless CONTINUATION frames.

# The flags of HEADERS that say whether it has a whole block, and what is around that.
_BLOCK_FLAGS: Final = END_HEADERS | frames.PADDED | frames.PRIORITIZED

# Each type's name, whether its frames have a stream (None: they may), and the size of their payloads if it is fixed.
_RULES: Final[dict[int, tuple[str, bool | None, int | None]]] = {
    DATA: ("DATA", True, None),
    HEADERS: ("HEADERS", True, None),
    frames.PRIORITY: ("PRIORITY", True, None),
    frames.RST_STREAM: ("RST_STREAM", True, 4),
    SETTINGS: ("SETTINGS", False, None),
    frames.PUSH_PROMISE: ("PUSH_PROMISE", None, None),
    frames.PING: ("PING", False, 8),
    frames.GOAWAY: ("GOAWAY", False, None),
    frames.WINDOW_UPDATE: ("WINDOW_UPDATE", None, 4),
    CONTINUATION: ("CONTINUATION", True, None),
}

_HEADER_UNPACK: Final = HEADER.unpack_from

Frame = tuple[int, int, int, bytes]
"""Type, flags, stream, payload. HEADERS come as whole blocks, without padding and priority."""


class Incoming:
    """The input of a connection. ``block`` has the pieces of a header block that has begun and not ended."""

    def __init__(self, *, client: bool, max_block: int) -> None:
        self._max_block = max_block
        self._client = client
        self._preface_received = False  # A client's 24 bytes, or a server's SETTINGS.
        self._rest = bytearray()
        self._needed = HEADER_SIZE  # How many bytes the rest must have before it is parsed again.
        self.block: list[bytes] = []  # The pieces of an unfinished header block,
        self._block_flags = 0  # the flags of its HEADERS frame,
        self._block_stream = 0  # and its stream.

    def receive(self, data: bytes, room: Callable[[int], int], take: Callable[[int, bytes], bool]) -> Iterator[Frame]:
        """Yield the frames that are complete now, but for those taken. Iterate to the end.

        Args:
            data: The bytes received, cut anywhere.
            room: Returns how many bytes of DATA a stream can take without any check but counting.
            take: Takes DATA of a stream, without flags, unless it has to be checked; returns whether it did.

        Raises:
            PeerConnectionError: The bytes are not valid HTTP/2.
        """
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._needed and self._preface_received:
                return
            data = bytes(rest)
            rest.clear()
        at = 0
        if not self._preface_received:
            at = self._receive_preface(data)
        size = len(data)
        while self._preface_received and size - at >= HEADER_SIZE:
            head, flags, stream_id = _HEADER_UNPACK(data, at)
            length, kind = head >> 8, head & 0xFF
            if length > DEFAULT_FRAME_SIZE:
                raise PeerConnectionError(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes exceeds the limit")
            end = at + HEADER_SIZE + length
            if size < end:
                self._needed = end - at
                break
            payload = data[at + HEADER_SIZE : end]
            if kind == DATA and not flags and length and not self.block:  # So are most frames.
                # Peers send a frame for each message, and a hundred joined cost little more than one. One byte tells
                # most streams apart.
                if end + HEADER_SIZE <= size and data[end + 8] == data[at + 8]:
                    end, payload = _join_data_frames(data, end, stream_id, payload, room(stream_id))
                if take(stream_id, payload):
                    at = end
                    continue
            at = end
            stream_id &= frames.MAX_STREAM_ID
            whole = kind == DATA or (kind == HEADERS and flags & _BLOCK_FLAGS == END_HEADERS)
            if not whole or not stream_id or self.block:  # Otherwise there is nothing to check.
                self._check(kind, flags, stream_id, length)
                if kind in (HEADERS, CONTINUATION):
                    block = self._add_to_block(kind, flags, stream_id, payload)
                    if block is None:
                        continue
                    kind, (flags, payload) = HEADERS, block
            yield kind, flags, stream_id, payload
        else:
            self._needed = HEADER_SIZE
        if at < size:
            rest += data[at:] if at else data

    def _receive_preface(self, data: bytes) -> int:
        """Check the peer's first bytes; return where its first frame begins, 0 until that is known."""
        if self._client:
            check_server(data)
            self._preface_received = len(data) >= HEADER_SIZE
            return 0
        check_client(data)
        if len(data) < len(PREFACE) + HEADER_SIZE or not data.startswith(PREFACE):
            return 0
        # RFC 9113 §3.4: a client's preface is followed by SETTINGS, which acknowledge nothing yet.
        if data[len(PREFACE) + 3] != SETTINGS or data[len(PREFACE) + 4] & frames.ACK:
            raise PeerConnectionError(ErrorCode.PROTOCOL_ERROR, "the client's first frame is not SETTINGS")
        self._preface_received = True
        return len(PREFACE)

    def _check(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        """Check a frame by its header.

        Raises:
            PeerConnectionError: The frame is not valid for its type, or not allowed at this point.
        """
        name, has_stream, size = _RULES.get(kind, (f"a frame of type {kind}", None, None))
        if self.block and (kind != CONTINUATION or stream_id != self._block_stream):
            raise PeerConnectionError(ErrorCode.PROTOCOL_ERROR, f"{name} within a header block")
        if kind == CONTINUATION and not self.block:
            raise PeerConnectionError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without a header block")
        if has_stream is not None and has_stream != bool(stream_id):
            where = "without a stream" if has_stream else "on a stream"
            raise PeerConnectionError(ErrorCode.PROTOCOL_ERROR, f"{name} {where}")
        wrong_size = size is not None and length != size
        if kind == SETTINGS:
            wrong_size = bool(length) if flags & frames.ACK else bool(length % frames.SETTING.size)
        elif kind == frames.GOAWAY:
            wrong_size = length < 8
        if wrong_size:
            raise PeerConnectionError(ErrorCode.FRAME_SIZE_ERROR, f"{name} of {length} bytes")

    def _add_to_block(self, kind: int, flags: int, stream_id: int, payload: bytes) -> tuple[int, bytes] | None:
        """Add HEADERS or CONTINUATION to the header block; return its flags and the whole block once it is complete."""
        if kind == HEADERS:
            if flags & frames.PADDED:
                payload = unpadded(payload)
            if flags & frames.PRIORITIZED:
                if len(payload) < 5:
                    raise PeerConnectionError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS are too short for their priority")
                # Priorities are deprecated (RFC 9113 §5.3.2). The flag stays only on a stream that depends on itself.
                if UINT32.unpack_from(payload)[0] & frames.MAX_STREAM_ID != stream_id:
                    flags &= ~frames.PRIORITIZED
                payload = payload[5:]
            self._block_flags, self._block_stream = flags, stream_id
        self.block.append(payload)
        if kind == CONTINUATION:
            size = sum(map(len, self.block))
            if size > self._max_block or len(self.block) > MAX_BLOCK_FRAMES:
                what = f"a header block of {len(self.block)} frames and {size} bytes"
                raise PeerConnectionError(ErrorCode.ENHANCE_YOUR_CALM, what)
        if not flags & END_HEADERS:
            return None
        block = b"".join(self.block)
        self.block.clear()
        return self._block_flags | END_HEADERS, block


def _join_data_frames(data: bytes, at: int, stream_id: int, payload: bytes, room: int) -> tuple[int, bytes]:
    """Join a DATA frame with the plain DATA frames of the same stream that follow it.

    Args:
        data: The bytes received.
        at: Where the next frame begins.
        stream_id: The frame's stream,
        payload: and its payload.
        room: How many bytes of DATA the stream can take.

    Returns:
        Where the frame after them begins, and the joined payload.
    """
    size = len(data)
    payloads = [payload]
    room -= len(payload)
    while size - at >= HEADER_SIZE:
        head, flags, next_id = HEADER.unpack_from(data, at)
        length = head >> 8
        end = at + HEADER_SIZE + length
        plain = head & 0xFF == DATA and not flags and next_id == stream_id
        if not plain or not 0 < length <= room or length > DEFAULT_FRAME_SIZE or end > size:
            break
        payloads.append(data[at + HEADER_SIZE : end])
        room -= length
        at = end
    return at, b"".join(payloads)


def unpadded(payload: bytes) -> bytes:
    """Strip the padding from a DATA or HEADERS payload (RFC 9113 §6.1).

    Raises:
        PeerConnectionError: The padding is longer than the payload.
    """
    size = payload[0] if payload else 0
    if size >= len(payload):
        raise PeerConnectionError(ErrorCode.PROTOCOL_ERROR, "padding that is longer than its frame")
    return payload[1 : len(payload) - size]
