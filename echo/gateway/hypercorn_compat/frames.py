"""The server side of a WebSocket's frames (RFC 6455 §5), with wsproto's decoders.

Upstream, wsproto 1.2 and 1.3 do not know close code 1014, "bad gateway" (IANA's WebSocket Close Code Number Registry).
They treat a close frame with it as a protocol error, and the client is cut off. Decoding a frame also costs ten times
what its bytes cost. Here unfragmented messages are decoded directly, and wsproto decodes the rest.

Compression, which upstream accepts, is refused: its window takes some 300 KiB per connection, and a few bytes inflate
to megabytes before any limit applies.
"""

from collections.abc import Iterator
from typing import Final

from wsproto.frame_protocol import CloseReason, Frame, FrameDecoder, MessageDecoder, Opcode, ParseFailed

__all__ = ["CloseReason", "Frame", "FrameReader", "Opcode", "ParseFailed", "close_frame", "control_frame", "text_frame"]

MAX_CONTROL: Final = 125  # Bytes in a control frame (§5.5).
NEVER_SENT: Final = frozenset({1004, 1005, 1006, 1015})  # Reserved (§7.4.1): never in a frame.
LAST_REGISTERED: Final = 1014  # The last code below 3000 registered at IANA; all below are, except those above.
FOR_USERS: Final = range(3000, 5000)  # §7.4.2.

_WHOLE_TEXT, _WHOLE_BYTES, _MASKED = 0x81, 0x82, 0x80


class FrameReader:
    """Decodes frames. Nothing is read after a close frame or an invalid one."""

    def __init__(self) -> None:
        self._frames = FrameDecoder(client=False)
        self._messages = MessageDecoder()
        self._ended = False

    def read(self, data: bytes) -> Iterator[Frame]:
        """The frames that these bytes complete; a long data frame is returned in parts as they arrive.

        A close frame's payload is a pair of code and reason, a text frame's is a string.

        Raises:
            ParseFailed: The bytes are not valid frames; carries the close code to send.
        """
        at = 0
        if not (len(self._frames.buffer) or self._frames.header or self._messages.opcode or self._ended):
            while (found := _whole_message(data, at)) is not None:
                frame, at = found
                yield frame
        if at < len(data):
            self._frames.receive_bytes(data[at:] if at else data)
            yield from self._read_on()

    def _read_on(self) -> Iterator[Frame]:
        try:
            while not self._ended and (frame := self._frames.process_buffer()) is not None:
                if frame.opcode is Opcode.CLOSE:
                    self._ended = True
                    frame = Frame(Opcode.CLOSE, _parsed_close(frame.payload), True, True)
                elif not frame.opcode.iscontrol():
                    frame = self._messages.process_frame(frame)
                yield frame
        except ParseFailed:
            self._ended = True
            raise


def _whole_message(data: bytes, at: int) -> tuple[Frame, int] | None:
    """The frame at this position and where the next one begins, if it is a complete, unfragmented message."""
    end = len(data)
    if end - at < 6:
        return None
    first, size, start = data[at], data[at + 1] - _MASKED, at + 2
    if (first != _WHOLE_TEXT and first != _WHOLE_BYTES) or size < 0:
        return None
    if size > 125:
        size = int.from_bytes(data[start : start + 2]) if size == 126 else 0
        start += 2
        if size < 126:  # An eight-byte length, or one that is not minimal, which is not allowed.
            return None
    masked_at = start + 4
    stop = masked_at + size
    if stop > end:
        return None
    mask = data[start:masked_at] * (size // 4 + 1)
    payload = (int.from_bytes(data[masked_at:stop]) ^ int.from_bytes(mask[:size])).to_bytes(size)
    if first == _WHOLE_BYTES:
        return Frame(Opcode.BINARY, payload, True, True), stop
    try:
        return Frame(Opcode.TEXT, payload.decode(), True, True), stop
    except UnicodeDecodeError:
        return None  # wsproto reports the error.


def _parsed_close(payload: object) -> tuple[int, str]:
    """Code and reason of a close frame (§5.5.1, §7.4); 1005 if it has no code."""
    assert isinstance(payload, bytes)
    if not payload:
        return CloseReason.NO_STATUS_RCVD, ""
    code = int.from_bytes(payload[:2])
    registered = 1000 <= code <= LAST_REGISTERED and code not in NEVER_SENT
    if len(payload) < 2 or not (registered or code in FOR_USERS):
        raise ParseFailed("a close frame without a valid code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ParseFailed("the reason of a close frame is not UTF-8", CloseReason.INVALID_FRAME_PAYLOAD_DATA) from None


def text_frame(text: str) -> bytes:
    """A text message from a server: one unmasked frame."""
    return _frame(_WHOLE_TEXT, text.encode())


def bytes_frame(data: bytes) -> bytes:
    """A binary message from a server."""
    return _frame(_WHOLE_BYTES, data)


def control_frame(opcode: Opcode, payload: bytes = b"") -> bytes:
    """A ping or a pong."""
    return _frame(0x80 | opcode, payload)


def close_frame(code: int, reason: str | None) -> bytes:
    """A close frame with the reason cut to fit; empty for 1005, and with 1000 for other codes that are never sent."""
    if code == CloseReason.NO_STATUS_RCVD:
        return _frame(0x80 | Opcode.CLOSE, b"")
    code = CloseReason.NORMAL_CLOSURE if code in NEVER_SENT else code
    fitting = (reason or "").encode("utf-8", "replace")[: MAX_CONTROL - 2].decode("utf-8", "ignore")
    return _frame(0x80 | Opcode.CLOSE, code.to_bytes(2) + fitting.encode())


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (first, size, payload)
    if size < 0x10000:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2), payload)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8), payload)
