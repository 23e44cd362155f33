"""Length-prefixed messages: a stream's bytes to messages and back (gRPC over HTTP/2, "Length-Prefixed-Message").

Theory of operation
-------------------
Each message is a flag (one byte: 1 if compressed, else 0), a length (four bytes, big-endian) and as many bytes. DATA
frames cut this run of bytes wherever they like, so `MessageDecoder` gathers them in one buffer and is in one of two
states:

    PREFIX  --the 5 bytes are there and sound-->  BODY  --the length is there-->  (a message)  PREFIX

The prefix is judged the moment it is there. A message that is too large, or compressed in a way nobody has announced,
is refused before a byte of its body is waited for. Nothing is parsed until a message is asked for; what then lies in
the buffer unasked is for flow control to bound, by way of ``consumed``.

Errors are final. The place where the next message would begin is lost with the first wrong prefix, so the decoder
lets go of its buffer and answers every further question with the same error.
"""

import enum
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


def encode_compressed(encoding: str, payload: bytes) -> bytes:
    """Compress a message and put the prefix before it; a small one, or one that would not shrink, goes as it is.

    Args:
        encoding: What the call's head announced as ``grpc-encoding``.
        payload: The message, of less than 4 GiB.
    """
    if len(payload) >= MIN_COMPRESSED:
        compressed = compress(encoding, payload)
        if len(compressed) < len(payload):
            return encode_message(compressed, compressed=True)
    return encode_message(payload)


class _State(enum.Enum):
    PREFIX = enum.auto()
    BODY = enum.auto()


class MessageDecoder:
    """Takes the bytes of one direction of one stream, gives the messages in them.

    Attributes:
        encoding: The peer's ``grpc-encoding``; may be set until the first message is asked for, since a response's
            head comes before its messages. None and ``identity`` mean that no message may be compressed.
        consumed: How many of the bytes fed are done with, from the beginning: those of the messages given out, prefix
            included, and those dropped. What it grew by may be returned to the sender's window (RFC 9113 §6.9).
    """

    __slots__ = ("_buffer", "_closed", "_failure", "_limit", "_needed", "_state", "consumed", "encoding")

    def __init__(self, max_message_size: int, encoding: str | None = None) -> None:
        self.encoding = encoding
        self.consumed = 0
        self._limit = max_message_size
        # Deleting at the front of a bytearray moves its start and copies only when half of it is empty, appending
        # copies only when an eighth more is needed: neither is quadratic.
        self._buffer = bytearray()
        self._state = _State.PREFIX
        self._needed = PREFIX_SIZE  # Bytes the buffer must hold for the next step.
        self._closed = False
        self._failure: GRPCError | None = None

    @property
    def buffered(self) -> int:
        """How many bytes are held: all that were fed, less ``consumed``."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add what came. After `close` or an error it is dropped, and counts as consumed."""
        if self._closed or self._failure is not None:
            self.consumed += len(data)
        else:
            self._buffer += data

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
        buffer = self._buffer
        if self._state is _State.PREFIX and len(buffer) >= PREFIX_SIZE:
            flag, size = _PREFIX.unpack_from(buffer)
            end = PREFIX_SIZE + size
            if flag == _PLAIN and size <= self._limit and len(buffer) >= end:
                # The most frequent case at once: both steps, without the state between.
                message = bytes(memoryview(buffer)[PREFIX_SIZE:end])
                del buffer[:end]
                self.consumed += end
                return message
            self._read_prefix(flag, size)
        if len(buffer) >= self._needed:
            return self._take_body()
        self._check_end()
        return None

    def _read_prefix(self, flag: int, size: int) -> None:
        if flag != _PLAIN:
            if flag != _COMPRESSED:
                raise self._fail(Status.INTERNAL, f"message with the unknown flag {flag}")
            if self.encoding is None or self.encoding == "identity":
                raise self._fail(Status.INTERNAL, "compressed message without grpc-encoding")
        if size > self._limit:
            raise self._fail(Status.RESOURCE_EXHAUSTED, f"message of {size} bytes exceeds the limit of {self._limit}")
        self._state = _State.BODY
        self._needed = PREFIX_SIZE + size

    def _take_body(self) -> bytes:
        buffer = self._buffer
        compressed = buffer[0] == _COMPRESSED
        # One copy, and the views are gone by the next line, where they would keep the buffer from shrinking.
        message = bytes(memoryview(buffer)[PREFIX_SIZE : self._needed])
        del buffer[: self._needed]
        self.consumed += self._needed
        self._state = _State.PREFIX
        self._needed = PREFIX_SIZE
        if compressed:
            assert self.encoding is not None  # The prefix was not let through without.
            try:
                message = decompress(self.encoding, message, self._limit)
            except GRPCError as error:
                raise self._fail(error.status, error.message) from error
        return message

    def _check_end(self) -> None:
        """Nothing can be given out now: raise if nothing ever will, in the middle of something."""
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._closed and self._buffer:
            raise self._fail(Status.INTERNAL, "the stream ended inside a message")

    def _fail(self, status: Status, text: str | None) -> GRPCError:
        """Make this the decoder's answer from now on."""
        self.consumed += len(self._buffer)
        self._buffer.clear()
        self._needed = PREFIX_SIZE  # Never to be reached again: the buffer stays empty.
        self._failure = GRPCError(status, text)
        return self._failure
