"""Length-prefixed messages: a stream's bytes to messages and back (gRPC over HTTP/2, "Length-Prefixed-Message").

Theory of operation
-------------------
Each message is a flag (one byte: 1 if compressed, else 0), a length (four bytes, big-endian) and as many bytes. DATA
frames cut this run of bytes wherever they like. `MessageDecoder` is asked for messages and looks at the prefix of the
next one each time, so that it has no state but the bytes.

The prefix is judged the moment it is there. A message that is too large, or compressed in a way nobody has announced,
is refused before a byte of its body is waited for. Nothing is parsed until a message is asked for; what then lies in
the buffer unasked is for flow control to bound, by way of ``consumed``.

Errors are final. The place where the next message would begin is lost with the first wrong prefix, so the decoder
lets go of its buffer and answers every further question with the same error.
"""

import struct
from typing import Final

from echo.wire.compression import compress, decompress
from echo.wire.status import GRPCError, Status

PREFIX_SIZE: Final = 5
# Bytes below which a message is sent as it is: gzip's own frame takes 18, and little repeats itself in so few.
MIN_COMPRESSED: Final = 256

_PREFIX: Final = struct.Struct(">BI")
_PLAIN: Final = 0
_COMPRESSED: Final = 1


def encode_message(payload: bytes, *, compressed: bool = False) -> bytes:
    """Put the prefix before a message.

    Args:
        payload: The message as it shall travel, of less than 4 GiB.
        compressed: Whether it is compressed as the call's ``grpc-encoding`` says.
    """
    return _PREFIX.pack(_COMPRESSED if compressed else _PLAIN, len(payload)) + payload


def encode_compressed(encoding: str, payload: bytes, *, always: bool = False) -> bytes:
    """Compress a message and put the prefix before it; a small one, or one that would not shrink, goes as it is.

    Args:
        encoding: What the call's head announced as ``grpc-encoding``.
        payload: The message, of less than 4 GiB.
        always: Compress those too.
    """
    if always or len(payload) >= MIN_COMPRESSED:
        compressed = compress(encoding, payload)
        if always or len(compressed) < len(payload):
            return encode_message(compressed, compressed=True)
    return encode_message(payload)


class MessageDecoder:
    """Takes the bytes of one direction of one stream, gives the messages in them.

    Attributes:
        encoding: The peer's ``grpc-encoding``; may be set until the first message is asked for, since a response's
            head comes before its messages. None and ``identity`` mean that no message may be compressed.
        limit: Bytes that a message may have.
        messages: How many were given out.
        inflated: Which of them was the last that came compressed; 0 if none did.
        consumed: How many of the bytes fed are done with, from the beginning: those of the messages given out, prefix
            included, and those dropped. What it grew by may be returned to the sender's window (RFC 9113 §6.9).
    """

    __slots__ = ("_at", "_buffer", "_closed", "_failure", "consumed", "encoding", "inflated", "limit", "messages")

    def __init__(self, max_message_size: int, encoding: str | None = None) -> None:
        self.encoding = encoding
        self.messages = self.consumed = self.inflated = 0
        self.limit = max_message_size
        # What came, as it came, as long as it holds whole messages; gathered in a bytearray where it does not. That
        # moves its start when the front is deleted, and copies when an eighth more is needed: neither is quadratic.
        self._buffer: bytes | bytearray = b""
        self._at = 0  # Where the next message begins in it.
        self._closed = False
        self._failure: GRPCError | None = None

    @property
    def buffered(self) -> int:
        """How many bytes are held: all that were fed, less ``consumed``."""
        return len(self._buffer) - self._at

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be given out any more, and nothing wrong."""
        return not self._buffer and self._failure is None

    def feed(self, data: bytes) -> None:
        """Add what came. After `close` or an error it is dropped, and counts as consumed."""
        buffer = self._buffer
        if self._closed or self._failure is not None:
            self.consumed += len(data)
        elif not buffer:
            self._buffer = data
        else:
            if not isinstance(buffer, bytearray):
                buffer = self._buffer = bytearray(memoryview(buffer)[self._at :])
                self._at = 0
            buffer += data

    def close(self) -> None:
        """The peer sends no more (END_STREAM). The messages already here can still be taken."""
        self._closed = True

    def next_message(self) -> bytes | None:
        """Take the next message, decompressed. None if it is not here yet, or after `close` if there is none.

        Raises:
            GRPCError: RESOURCE_EXHAUSTED if the message is larger than ``max_message_size``, as it travels or
                decompressed. INTERNAL if the flag is neither 0 nor 1, if a message is compressed though no encoding
                was announced, if decompressing fails, or if the stream ended inside a message. Once raised, always.
        """
        buffer, at = self._buffer, self._at
        held = len(buffer)
        if held - at >= PREFIX_SIZE:
            flag, size = _PREFIX.unpack_from(buffer, at)
            if flag or size > self.limit:
                self._judge(flag, size)
            start = at + PREFIX_SIZE
            end = start + size
            if end <= held:
                message = buffer[start:end]
                self.consumed += end - at
                self.messages += 1
                if end == held:
                    self._buffer, self._at = b"", 0
                elif isinstance(buffer, bytearray):
                    del buffer[:end]
                elif 2 * end > held:  # What is done with is not to be held for the sake of less.
                    self._buffer, self._at = buffer[end:], 0
                else:
                    self._at = end
                return self._inflate(bytes(message)) if flag else bytes(message)
        if self._closed or self._failure is not None:
            self._check_end()
        return None

    def _judge(self, flag: int, size: int) -> None:
        """Look at a prefix that is not the most usual one, before anything of its message is waited for."""
        if flag not in (_PLAIN, _COMPRESSED):
            raise self._fail(Status.INTERNAL, f"message with the unknown flag {flag}")
        if flag and (self.encoding is None or self.encoding == "identity"):
            raise self._fail(Status.INTERNAL, "compressed message without grpc-encoding")
        if size > self.limit:
            raise self._fail(Status.RESOURCE_EXHAUSTED, f"message of {size} bytes exceeds the limit of {self.limit}")

    def _inflate(self, message: bytes) -> bytes:
        assert self.encoding is not None  # The prefix was not let through without.
        self.inflated = self.messages
        try:
            return decompress(self.encoding, message, self.limit)
        except GRPCError as error:
            raise self._fail(error.status, error.message) from error

    def _check_end(self) -> None:
        """Nothing can be given out now: raise if nothing ever will, in the middle of something."""
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._closed and self._buffer:
            raise self._fail(Status.INTERNAL, "the stream ended inside a message")

    def _fail(self, status: Status, text: str | None) -> GRPCError:
        """Make this the decoder's answer from now on."""
        self.consumed += self.buffered
        self._buffer, self._at = b"", 0
        self._failure = GRPCError(status, text)
        return self._failure
