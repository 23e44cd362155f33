"""Length-prefixed messages: a stream's bytes to messages and back (gRPC over HTTP/2, "Length-Prefixed-Message").

Theory of operation
-------------------
Each message is a flag (one byte: 1 if compressed, else 0), a length (four bytes, big-endian) and that many bytes. DATA
frames may cut these bytes anywhere. `MessageDecoder` reads the next prefix each time it is asked for a message, so its
only state is the bytes.

A prefix is checked as soon as it is complete. A message that is too large, or compressed without an announced encoding,
is refused before its body arrives. Nothing is parsed until a message is asked for; flow control bounds the unread
buffer by way of ``consumed``.

Errors are final. After an invalid prefix, nobody knows where the next message begins, so the decoder drops its buffer
and raises the same error from then on.
"""

import struct
from collections.abc import Callable
from typing import Final

from echo.wire.compression import compress, decompress
from echo.wire.status import GRPCError, Status

PREFIX_SIZE: Final = 5
# Smaller messages are sent uncompressed: gzip's frame alone takes 18 bytes, and so few bytes hardly compress.
MIN_COMPRESSED: Final = 256

_PREFIX_PACK: Final = struct.Struct(">BI").pack
_PREFIX_UNPACK: Final = struct.Struct(">BI").unpack_from
_PLAIN: Final = 0
_COMPRESSED: Final = 1


def encode_message(payload: bytes, compressed: bool = False) -> bytes:
    """Put the prefix before a message.

    Args:
        payload: The message as it is sent, less than 4 GiB.
        compressed: Whether the payload is compressed with the call's ``grpc-encoding``. Not keyword-only: Python calls
            functions that have such parameters more slowly, and this one is called for every message.
    """
    return _PREFIX_PACK(_COMPRESSED if compressed else _PLAIN, len(payload)) + payload


def encode_compressed(encoding: str, payload: bytes, *, always: bool = False) -> bytes:
    """Compress a message and put the prefix before it; small messages and those that would not shrink stay as they are.

    Args:
        encoding: The ``grpc-encoding`` in the call's head.
        payload: The message, less than 4 GiB.
        always: Compress every message.
    """
    if always or len(payload) >= MIN_COMPRESSED:
        compressed = compress(encoding, payload)
        if always or len(compressed) < len(payload):
            return encode_message(compressed, compressed=True)
    return encode_message(payload)


class MessageDecoder:
    """Decodes the messages of one direction of one stream.

    Attributes:
        buffer: The bytes fed that were not returned yet, and those of messages before them. Only to be looked at.
        failure: The error that `next_message` raises from now on, if any.
        encoding: The peer's ``grpc-encoding``. Set it before the first message is asked for. With None and
            ``identity``, no message may be compressed.
        limit: The largest message accepted, in bytes.
        messages: How many messages were returned.
        inflated: The number of the last message that arrived compressed, counted from 1; 0 if none did.
        consumed: How many of the bytes fed have been returned as messages, prefix included, or dropped. Its growth may
            be returned to the sender's window (RFC 9113 §6.9).
    """

    __slots__ = ("_at", "_closed", "buffer", "consumed", "encoding", "failure", "inflated", "limit", "messages")

    messages: int
    inflated: int
    consumed: int

    def __init__(self, max_message_size: int, encoding: str | None = None) -> None:
        self.encoding: str | None = encoding
        self.messages = self.consumed = self.inflated = 0
        self.limit: int = max_message_size
        # The chunk as received while that holds whole messages, else a bytearray that gathers chunks. A bytearray only
        # moves its start when its front is deleted, and copies once per eighth of growth: neither is quadratic.
        self.buffer: bytes | bytearray = b""
        self._at = 0  # Where the next message begins in the buffer.
        self._closed = False
        self.failure: GRPCError | None = None

    @property
    def buffered(self) -> int:
        """Bytes held: those fed, less ``consumed``."""
        return len(self.buffer) - self._at

    @property
    def empty(self) -> bool:
        """Whether the buffer is empty and no error has occurred."""
        return not self.buffer and self.failure is None

    def feed(self, data: bytes) -> None:
        """Add received bytes. After `close` or an error they are dropped and count as consumed."""
        buffer = self.buffer
        if self._closed or self.failure is not None:
            self.consumed += len(data)
        elif not buffer:
            self.buffer = data
        else:
            if not isinstance(buffer, bytearray):
                buffer = self.buffer = bytearray(memoryview(buffer)[self._at :])
                self._at = 0
            buffer += data

    def close(self) -> None:
        """Note that the peer will send no more (END_STREAM). Buffered messages can still be taken."""
        self._closed = True

    def next_message(self) -> bytes | None:
        """Take the next message, decompressed. None if it has not fully arrived or, after `close`, if none is left.

        Raises:
            GRPCError: RESOURCE_EXHAUSTED if the message is larger than ``max_message_size``, compressed or
                decompressed. INTERNAL if the flag is neither 0 nor 1, if a message is compressed though no encoding
                was announced, if decompressing fails, or if the stream ended inside a message. Every later call raises
                the same error.
        """
        buffer, at = self.buffer, self._at
        held = len(buffer)
        if held - at >= PREFIX_SIZE:
            flag, size = _PREFIX_UNPACK(buffer, at)
            if flag or size > self.limit:
                self._check_prefix(flag, size)
            start = at + PREFIX_SIZE
            end = start + size
            if end <= held:
                message = buffer[start:end] if type(buffer) is bytes else bytes(buffer[start:end])
                self.consumed += end - at
                self.messages += 1
                if end == held:
                    self.buffer = b""
                    self._at = 0
                elif isinstance(buffer, bytearray):
                    del buffer[:end]
                elif 2 * end > held:  # Do not keep consumed bytes that outweigh the rest.
                    self.buffer, self._at = buffer[end:], 0
                else:
                    self._at = end
                return self._inflate(message) if flag else message
        if self._closed or self.failure is not None:
            self._raise_if_failed()
        return None

    def _check_prefix(self, flag: int, size: int) -> None:
        """Check a prefix with a flag set or a large size, before its message arrives."""
        if flag not in (_PLAIN, _COMPRESSED):
            raise self._fail(Status.INTERNAL, f"message with the unknown flag {flag}")
        if flag and (self.encoding is None or self.encoding == "identity"):
            raise self._fail(Status.INTERNAL, "compressed message without grpc-encoding")
        if size > self.limit:
            raise self._fail(Status.RESOURCE_EXHAUSTED, f"message of {size} bytes exceeds the limit of {self.limit}")

    def _inflate(self, message: bytes) -> bytes:
        assert self.encoding is not None  # `_check_prefix` refuses compressed messages without one.
        self.inflated = self.messages
        try:
            return decompress(self.encoding, message, self.limit)
        except GRPCError as error:
            raise self._fail(error.status, error.message) from error

    def _raise_if_failed(self) -> None:
        """Raise the earlier error again, or an error if the stream ended inside a message."""
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        if self._closed and self.buffer:
            raise self._fail(Status.INTERNAL, "the stream ended inside a message")

    def _fail(self, status: Status, text: str | None) -> GRPCError:
        """Drop the buffer and record the error that every later call raises."""
        self.consumed += self.buffered
        self.buffer, self._at = b"", 0
        self.failure = GRPCError(status, text)
        return self.failure


Arrived = Callable[[int, bool], None]
"""Called with each message's size on the wire, without the prefix, and whether it is compressed."""


class WatchedDecoder(MessageDecoder):
    """Reports each message when it has arrived, even before it is asked for.

    It replaces a decoder that has not returned any message yet. Few streams are watched; the others do not pay for it.

    Args:
        decoder: The decoder to replace. Messages that it already holds are reported at once.
        arrived: Called for each message that has arrived.
    """

    __slots__ = ("_arrived", "_reported")

    def __init__(self, decoder: MessageDecoder, arrived: Arrived) -> None:
        super().__init__(decoder.limit, decoder.encoding)
        self.buffer, self._at = decoder.buffer, decoder._at
        self._closed, self.failure = decoder._closed, decoder.failure
        self.messages, self.consumed = decoder.messages, decoder.consumed
        self._arrived = arrived
        self._reported = self.consumed  # Where the first message that has not been reported begins in the stream.
        self._report_arrivals()

    def feed(self, data: bytes) -> None:  # noqa: D102 - as in MessageDecoder
        kept = not self._closed and self.failure is None
        super().feed(data)
        if kept:
            self._report_arrivals()

    def _report_arrivals(self) -> None:
        at = self._at + self._reported - self.consumed  # In the buffer: what was returned has been reported.
        while at + PREFIX_SIZE <= len(self.buffer):
            flag, size = _PREFIX_UNPACK(self.buffer, at)
            at += PREFIX_SIZE + size
            if at > len(self.buffer):
                break
            self._reported += PREFIX_SIZE + size
            self._arrived(size, bool(flag))
