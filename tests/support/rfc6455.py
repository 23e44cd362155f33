"""RFC 6455 as a table of cases: what a client sends, frame by frame, and what it must receive.

The idea is the Autobahn test suite's; the cases are our own. A case is sent to an echo that ends when it receives an
empty message; each legal case ends with that message or a close frame.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Heard, close, fragments, frame

LIMIT: Final = 100 * 1024  # Bytes of the largest message that the gateway must accept.
NORMAL: Final = struct.pack("!H", 1000)
END: Final = frame(TEXT)


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: What it is about.
        segments: What the client sends, each piece of it taken by itself.
        heard: What it hears, in order of kinds; None where only `code` matters.
        code: With which the connection is failed, if it is.
    """

    name: str
    segments: tuple[bytes, ...]
    heard: Heard | None = None
    code: int | None = None

    def __str__(self) -> str:
        return self.name


def legal(
    name: str, *segments: bytes, texts: tuple[str, ...] = (), pongs: tuple[bytes, ...] = (), end: bytes = END
) -> Case:
    """A legal case: these messages are echoed, and the connection closes normally."""
    return Case(name, (*segments, end), Heard([f"from server: {text}" for text in texts], list(pongs), NORMAL))


def failed(name: str, code: int, *segments: bytes) -> Case:
    """An illegal case: the frame and everything after it are ignored, and the connection is failed."""
    return Case(name, (*segments, END), code=code)


def message(text: str) -> bytes:
    return json.dumps({"stream_id": "a", "message": text}, ensure_ascii=False, separators=(",", ":")).encode()


def of_size(size: int) -> tuple[str, bytes]:
    """A message of exactly this many bytes, and its text."""
    text = "x" * (size - len(message("")))
    return text, message(text)


def chopped(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


SIZES: Final = (125, 126, 127, 128, 65_535, 65_536)


def framing() -> Iterator[Case]:
    yield legal("nothing but the end")
    yield legal("an empty binary message is one too", end=frame(BINARY))
    for size in SIZES:
        text, payload = of_size(size)
        for kind, opcode in (("text", TEXT), ("binary", BINARY)):
            whole = frame(opcode, payload)
            yield legal(f"{kind} of {size} bytes", whole, texts=(text,))
            yield legal(f"{kind} of {size} bytes, in chops", *chopped(whole, 1 + size // 12), texts=(text,))
    yield legal("a frame, byte by byte", *chopped(frame(TEXT, message("é€𝄞")), 1), texts=("é€𝄞",))
    yield legal("three messages in a segment", 3 * frame(TEXT, message("hi")), texts=3 * ("hi",))
    masked = b"\x81" + bytes([0x80 | len(message("hi"))]) + b"\x00" * 4 + message("hi")
    yield legal("a mask of zeros", masked, texts=("hi",))
    yield failed("unmasked text", 1002, frame(TEXT, message("hi"), masked=False))
    yield failed("unmasked binary", 1002, frame(BINARY, message("hi"), masked=False))
    yield failed("unmasked ping", 1002, frame(PING, masked=False))
    yield failed("unmasked continuation", 1002, frame(TEXT, b"{", fin=False) + frame(0, b"}", masked=False))
    for size in (0, 1, 125):
        needless = b"\x81\xfe" + struct.pack("!H", size) + bytes(4 + size)
        yield failed(f"length {size} in two bytes", 1002, needless)
    for size in (0, 125, 126, 65_535):
        needless = b"\x81\xff" + struct.pack("!Q", size) + bytes(4)
        yield failed(f"length {size} in eight bytes", 1002, needless)
    for size in (2**63, 2**64 - 1):
        yield failed(f"length {size:#x}", 1002, b"\x81\xff" + struct.pack("!Q", size) + bytes(4))
    yield failed("too big", 1009, frame(TEXT, b"x" * 2 * LIMIT))
    yield failed("too big and binary", 1009, frame(BINARY, b"x" * 2 * LIMIT))
    yield failed("too big in fragments", 1009, fragments(*[b"x" * 1000] * 200))
    yield failed("too big in bytes, not in characters", 1009, frame(TEXT, "é".encode() * 60_000))
    yield failed("endless", 1009, b"\x81\xff" + struct.pack("!Q", 2**62) + bytes(4) + b"x" * 2 * LIMIT)
    padded = message("hi").ljust(LIMIT)
    yield legal("at the limit", frame(TEXT, padded), texts=("hi",))
    yield failed("one byte over the limit", 1009, frame(TEXT, padded + b" "))


def pings() -> Iterator[Case]:
    for size in (0, 1, 124, 125):
        payload = bytes(range(size))
        yield legal(f"ping of {size} bytes", frame(PING, payload), pongs=(payload,))
    yield legal(
        "ping that is no text", frame(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00"), pongs=(b"\x00\xff\xfe\xfd\xfc\xfb\x00",)
    )
    yield legal("ping byte by byte", *chopped(frame(PING, b"chopped"), 1), pongs=(b"chopped",))
    yield legal("unasked pong", frame(PONG))
    yield legal("unasked pong with a payload, then a ping", frame(PONG, b"p") + frame(PING, b"q"), pongs=(b"q",))
    ten = tuple(b"%d" % number for number in range(10))
    yield legal("ten pings", b"".join(frame(PING, payload) for payload in ten), pongs=ten)
    yield legal("ten pings in chops", *chopped(b"".join(frame(PING, p) for p in ten), 5), pongs=ten)
    for name, opcode in (("ping", PING), ("pong", PONG)):
        yield failed(f"{name} of 126 bytes", 1002, frame(opcode, b"x" * 126))
        yield failed(f"{name} of 65,536 bytes", 1002, frame(opcode, b"x" * 65_536))
        yield failed(f"fragmented {name}", 1002, frame(opcode, b"x", fin=False) + frame(CONTINUATION, b"y"))


def reserved() -> Iterator[Case]:
    for rsv in range(1, 8):
        yield failed(f"text with reserved bits {rsv:03b}", 1002, frame(TEXT, message("hi"), rsv=rsv))
    for rsv in (1, 2, 4):
        bits = f"reserved bits {rsv:03b}"
        yield failed(f"binary with {bits}", 1002, frame(BINARY, message("hi"), rsv=rsv))
        yield failed(f"ping with {bits}", 1002, frame(PING, rsv=rsv))
        yield failed(f"pong with {bits}", 1002, frame(PONG, rsv=rsv))
        yield failed(f"close with {bits}", 1002, frame(CLOSE, NORMAL, rsv=rsv))
        yield failed(f"continuation with {bits}", 1002, frame(TEXT, b"{", fin=False) + frame(0, b"}", rsv=rsv))
    for opcode in (*range(0x3, 0x8), *range(0xB, 0x10)):
        yield failed(f"opcode {opcode:X}", 1002, frame(opcode))
        yield failed(f"opcode {opcode:X} with a payload", 1002, frame(opcode, b"x"))
        within = frame(TEXT, b"{", fin=False) + frame(opcode, b"x") + frame(CONTINUATION, b"}")
        yield failed(f"opcode {opcode:X} within a message", 1002, within)


def fragmentation() -> Iterator[Case]:
    payload = message("é€𝄞")
    half, text = len(payload) // 2, ("é€𝄞",)
    for kind, opcode in (("text", TEXT), ("binary", BINARY)):
        yield legal(f"{kind} in two", fragments(payload[:half], payload[half:], opcode=opcode), texts=text)
        yield legal(f"{kind} in three, empty ends", fragments(b"", payload, b"", opcode=opcode), texts=text)
        each = [bytes([byte]) for byte in payload]
        yield legal(f"{kind} in bytes", fragments(*each, opcode=opcode), texts=text)
        yield legal(f"{kind} in bytes, chopped", *chopped(fragments(*each, opcode=opcode), 3), texts=text)
    spaces = frame(TEXT, payload, fin=False) + 1000 * frame(CONTINUATION, b" ", fin=False) + frame(CONTINUATION)
    yield legal("a thousand fragments", spaces, texts=text)
    empty = frame(TEXT, fin=False) + 1000 * frame(CONTINUATION, fin=False) + frame(CONTINUATION, payload)
    yield legal("a thousand empty fragments", empty, texts=text)
    yield legal("an empty message in three", end=fragments(b"", b"", b""))
    parts = fragments(payload[:9], payload[9:half], payload[half:])
    pieces = (frame(TEXT, payload[:9], fin=False), frame(0, payload[9:half], fin=False), frame(0, payload[half:]))
    assert parts == b"".join(pieces)
    for between in product(("", "ping", "pong"), repeat=4):
        sent, pongs = b"", []
        for control, piece in zip(between, (*pieces, b""), strict=True):
            if control:
                sent += frame(PING if control == "ping" else PONG, control.encode())
            if control == "ping":
                pongs.append(b"ping")
            sent += piece
        yield legal(f"control frames between: {'|'.join(between)}", sent, texts=text, pongs=tuple(pongs))
    begun = frame(TEXT, payload[:half], fin=False)
    for kind, opcode in (("text", TEXT), ("binary", BINARY)):
        yield failed(f"{kind} within a message", 1002, begun + frame(opcode, payload))
        yield failed(f"{kind} begun within a message", 1002, begun + frame(opcode, payload, fin=False))
    for fin in (True, False):
        end = "last" if fin else "first"
        yield failed(f"continuation of nothing, the {end}", 1002, frame(CONTINUATION, payload, fin=fin))
        yield failed(f"continuation of nothing, empty, the {end}", 1002, frame(CONTINUATION, fin=fin))
    after = begun + frame(CONTINUATION, payload[half:]) + frame(CONTINUATION, b"more")
    yield Case("continuation after the last", (after, END), code=1002, heard=None)


VALID_UTF_8: Final = {
    "U+007F": b"\x7f",
    "U+0080": b"\xc2\x80",
    "U+07FF": b"\xdf\xbf",
    "U+0800": b"\xe0\xa0\x80",
    "U+D7FF": b"\xed\x9f\xbf",
    "U+E000": b"\xee\x80\x80",
    "U+FFFD": b"\xef\xbf\xbd",
    "U+FFFE, no character": b"\xef\xbf\xbe",
    "U+10000": b"\xf0\x90\x80\x80",
    "U+10FFFF": b"\xf4\x8f\xbf\xbf",
}
INVALID_UTF_8: Final = {
    "a continuation byte alone, the first": b"\x80",
    "a continuation byte alone, the last": b"\xbf",
    "six continuation bytes": b"\x80\xbf\x80\xbf\x80\xbf",
    "two bytes, one there": b"\xc2",
    "three bytes, one there": b"\xe0",
    "three bytes, two there": b"\xe0\xa0",
    "four bytes, one there": b"\xf0",
    "four bytes, two there": b"\xf0\x90",
    "four bytes, three there": b"\xf0\x90\x80",
    "overlong in two, the least": b"\xc0\x80",
    "overlong slash in two": b"\xc0\xaf",
    "overlong in two, the greatest": b"\xc1\xbf",
    "overlong in three, the least": b"\xe0\x80\x80",
    "overlong in three, the greatest": b"\xe0\x9f\xbf",
    "overlong in four, the least": b"\xf0\x80\x80\x80",
    "overlong in four, the greatest": b"\xf0\x8f\xbf\xbf",
    "the first surrogate": b"\xed\xa0\x80",
    "the last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "byte F5": b"\xf5\x80\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "byte FE": b"\xfe",
    "byte FF": b"\xff",
}


def utf_8() -> Iterator[Case]:
    before, after = message("|").split(b"|")
    for name, octets in VALID_UTF_8.items():
        text = octets.decode()
        yield legal(f"{name}", frame(TEXT, before + octets + after), texts=(text,))
        for cut in range(1, len(octets)):
            ends = before + octets[:cut], octets[cut:] + after
            yield legal(f"{name}, {cut} bytes in the first fragment", fragments(*ends), texts=(text,))
            with_ping = frame(TEXT, ends[0], fin=False) + frame(PING, octets) + frame(CONTINUATION, ends[1])
            yield legal(f"{name}, a ping after {cut} bytes", with_ping, texts=(text,), pongs=(octets,))
            whole = frame(TEXT, b"".join(ends))
            at = len(whole) - len(ends[1])
            yield legal(f"{name}, {cut} bytes in the first segment", whole[:at], whole[at:], texts=(text,))
    for name, octets in INVALID_UTF_8.items():
        payload = before + octets + after
        yield failed(f"{name}", 1007, frame(TEXT, payload))
        yield failed(f"{name}, at the end", 1007, frame(TEXT, octets))
        yield failed(f"{name}, in fragments", 1007, fragments(*(bytes([byte]) for byte in payload)))
        yield failed(f"{name}, in segments", 1007, *chopped(frame(TEXT, before + octets + after), 1))
        binary = legal("", frame(BINARY, payload)).segments
        told = Heard(["invalid message format"], [], NORMAL)
        yield Case(f"{name}, in a binary message that is thus none", binary, told)


VALID_CODES: Final = (*range(1000, 1004), *range(1007, 1014), 3000, 3999, 4000, 4999)
INVALID_CODES: Final = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)


def closing() -> Iterator[Case]:
    def answered(name: str, *segments: bytes, payload: bytes, texts: tuple[str, ...] = ()) -> Case:
        return Case(name, segments, Heard([f"from server: {text}" for text in texts], [], payload))

    yield answered("close without a code", frame(CLOSE), payload=b"")
    for code in VALID_CODES:
        yield answered(f"close {code}", close(code), payload=struct.pack("!H", code))
    reasons = {"empty": "", "short": "adiós", "of 123 bytes": "x" * 123, "of 123 bytes, not ASCII": "é" * 61 + "x"}
    for name, reason in reasons.items():
        yield answered(f"reason {name}", close(1000, reason.encode()), payload=NORMAL + reason.encode())
    yield answered("close in chops", *chopped(close(1001, b"bye"), 1), payload=b"\x03\xe9bye")
    yield answered("text after close", close(1000) + frame(TEXT, message("hi")), payload=NORMAL)
    yield answered("ping after close", close(1000) + frame(PING, b"late"), payload=NORMAL)
    yield answered("close after close", close(1000) + close(1001), payload=NORMAL)
    yield answered("nonsense after close", close(1000) + b"\xff" * 1000, payload=NORMAL)
    yield answered("256 KiB after close", close(1000) + frame(TEXT, b"x" * 262_144), payload=NORMAL)
    begun = frame(TEXT, b"{", fin=False)
    yield answered("close within a message", begun + close(1000), payload=NORMAL)
    yield answered("close within a message that goes on", begun + close(1000) + frame(0, b"}"), payload=NORMAL)
    yield failed("close with half a code", 1002, frame(CLOSE, b"\x03"))
    yield failed("close of 126 bytes", 1002, frame(CLOSE, NORMAL + b"x" * 124))
    yield failed("fragmented close", 1002, frame(CLOSE, NORMAL, fin=False))
    for code in INVALID_CODES:
        yield failed(f"close {code}", 1002, close(code))
        yield failed(f"close {code} with a reason", 1002, close(code, b"because"))
    for name, octets in INVALID_UTF_8.items():
        yield failed(f"close with a reason of {name}", 1007, close(1000, b"x" + octets))


GROUPS: Final = {
    "framing": framing,
    "pings": pings,
    "reserved": reserved,
    "fragmentation": fragmentation,
    "utf_8": utf_8,
    "closing": closing,
}
