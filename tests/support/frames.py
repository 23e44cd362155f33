"""WebSocket frames as raw bytes, valid and invalid, and a client that records the server's reaction."""

import json
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import trio

from tests.support.process import PATIENCE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    head = bytes([fin << 7 | rsv << 4 | opcode])
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65_536:
        length = bytes([126]) + struct.pack("!H", size)
    else:
        length = bytes([127]) + struct.pack("!Q", size)
    if not masked:
        return head + length + payload
    key = b"\x12\x34\x56\x78"
    return head + bytes([length[0] | 0x80]) + length[1:] + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


def fragments(*parts: bytes, opcode: int = TEXT) -> bytes:
    """A message in this many frames."""
    return b"".join(
        frame(CONTINUATION if number else opcode, part, fin=number == len(parts) - 1)
        for number, part in enumerate(parts)
    )


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


class RawStream(Protocol):
    """A byte stream, such as a socket or a stream of HTTP/2. It fails with trio.BrokenResourceError."""

    async def send_all(self, data: bytes) -> None: ...

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray: ...


@dataclass
class Heard:
    """What the client received until the end: the echoed texts, pongs, and the payload of the close frame."""

    texts: list[str]
    pongs: list[bytes]
    close: bytes | None

    @property
    def code(self) -> int | None:
        return None if self.close is None or len(self.close) < 2 else int.from_bytes(self.close[:2])


async def hear(stream: RawStream) -> Heard:
    """Read frames of the server until it closes; answers its close frame."""
    heard, data = Heard([], [], None), b""
    with trio.fail_after(PATIENCE):
        while True:
            while (parsed := parse(data)) is not None:
                opcode, payload, data = parsed
                if opcode == TEXT:
                    heard.texts.append(json.loads(payload)["response"])
                elif opcode == PONG:
                    heard.pongs.append(payload)
                elif opcode == CLOSE:
                    assert heard.close is None
                    heard.close = payload
                    await send(stream, frame(CLOSE, payload))
            try:
                received = await stream.receive_some(65_536)
            except trio.BrokenResourceError:
                return heard
            if not received:
                return heard
            data += received


async def send(stream: RawStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # The server has closed; its data has yet to be read.
        await stream.send_all(data)


def parse(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Parse a server's first frame, unfragmented and unmasked as ours are: opcode, payload, and the rest."""
    if len(data) < 2:
        return None
    assert data[0] & 0xF0 == 0x80
    start, size = 2, data[1]
    assert size < 128
    if size == 126:
        start, size = 4, int.from_bytes(data[2:4])
    elif size == 127:
        start, size = 10, int.from_bytes(data[2:10])
    if len(data) < start + size:
        return None
    return data[0] & 0x0F, data[start : start + size], data[start + size :]
