"""Tables of frames and our required reactions to them: a `Row` for each MUST of the RFC, and `judge` to check it.

The reactions are those of `tests.support.rfc9113.Endpoint.reaction`; where the RFC leaves a choice, a row lists what it
allows: ``stream STREAM_CLOSED | connection STREAM_CLOSED``.

Whatever does not end the connection must leave it whole: a PING is answered, and another call succeeds. The header
blocks of a row and of that call share one HPACK encoder, so a block that we skipped undecoded shows as well
(RFC 9113 §4.3).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import pytest

from tests.support.http2_frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PRIORITISED,
    frame,
    padded,
    ping,
    rst_stream,
)
from tests.support.rfc9113 import Endpoint, Part, Role

Text: TypeAlias = "str | bytes"
Fields: TypeAlias = Iterable[tuple[Text, Text]]

REQUEST: Final = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/s/m"),
    (":authority", "test"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
GET: Final = ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test"))
POST: Final = ((":method", "POST"), *GET[1:])
RESPONSE: Final = ((":status", "200"), ("content-type", "application/grpc"))
TRAILERS: Final = (("grpc-status", "0"),)

BY_PROTOCOL: Final = "connection PROTOCOL_ERROR"
BY_SIZE: Final = "connection FRAME_SIZE_ERROR"
CLOSED: Final = "stream STREAM_CLOSED | connection STREAM_CLOSED"
MALFORMED: Final = "stream PROTOCOL_ERROR"

PROBE: Final = 1_000_001  # A stream above all those in the rows.


def told(code: str) -> str:
    """The application learns of a reset: on a server by its code, on a client by the status that the code maps to."""
    statuses = {
        "REFUSED_STREAM": "UNAVAILABLE",
        "CANCEL": "CANCELLED",
        "ENHANCE_YOUR_CALM": "RESOURCE_EXHAUSTED",
        "INADEQUATE_SECURITY": "PERMISSION_DENIED",
    }
    return f"told {code} | status {statuses.get(code, 'INTERNAL')}"


@dataclass(frozen=True, slots=True)
class Row:
    """What a peer sends, and how we must react.

    Attributes:
        name: The MUST, in a few words.
        expected: The reactions that are right, separated by `` | ``.
        frames: What is judged.
        before: What comes first, and must not end the connection.
        stream: The stream on which the reaction is looked for; 0 for the connection.
        begin: What the connection begins with, if not as usual.
        alive: How to see that the connection is whole afterwards.
    """

    name: str
    expected: str
    frames: tuple[Part, ...]
    before: tuple[Part, ...] = ()
    stream: int = 1
    begin: bytes | None = None
    alive: Literal["call", "ping"] = "call"


def row(
    name: str,
    expected: str,
    *frames: Part,
    before: tuple[Part, ...] = (),
    stream: int = 1,
    begin: bytes | None = None,
    alive: Literal["call", "ping"] = "call",
) -> Row:
    """A `Row`, with its frames as separate arguments."""
    return Row(name, expected, frames, before, stream, begin, alive)


def each(rows: Iterable[Row]) -> pytest.MarkDecorator:
    """Run a test once for each row, as its argument ``row``."""
    rows = list(rows)
    assert len({row.name for row in rows}) == len(rows), "two rows of one name"
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


both_roles = pytest.mark.parametrize("role", ["server", "client"])


def judge(role: Role, row: Row) -> None:
    """Send the row's frames, whole and in pieces, and check our reaction."""
    for size in (None, 7):
        endpoint = Endpoint(role, begin=row.begin)
        for part in row.before:
            endpoint.feed(part)
            assert not endpoint.failed, "the connection failed before what is judged"
        endpoint.look()
        endpoint.feed(*row.frames, size=size)
        cut = "" if size is None else f" (in pieces of {size} bytes)"
        reaction = endpoint.reaction(row.stream)
        assert reaction in row.expected.split(" | "), f"expected {row.expected}, not {reaction}{cut}"
        if not endpoint.failed:
            is_whole(endpoint, call=row.alive == "call")


def is_whole(endpoint: Endpoint, *, call: bool = True) -> None:
    """Assert that the connection answers a PING, and that another call on it succeeds."""
    endpoint.later()
    endpoint.look()
    endpoint.feed(ping())
    reaction = endpoint.reaction(0)
    assert reaction == "PING ACK", f"the connection is not whole: a PING led to {reaction}"
    if not call:
        return
    endpoint.look()
    if endpoint.role == "server":
        endpoint.feed(headers(PROBE, REQUEST, end=True))
        reaction = endpoint.reaction(PROBE)
        assert reaction == "call", f"the connection is not whole: another call led to {reaction}"
        assert endpoint.requests()[0].path == "/s/m"
    else:
        stream = endpoint.open(end=True)
        endpoint.look()
        endpoint.feed(headers(stream, RESPONSE), headers(stream, TRAILERS, end=True))
        reaction = endpoint.reaction(stream)
        assert reaction == "status OK", f"the connection is not whole: another call led to {reaction}"


# Frames that depend on the state of the peer's encoder, or on ours


def headers(
    stream: int,
    fields: Fields | bytes = REQUEST,
    *,
    end: bool = False,
    padding: int | None = None,
    claimed: int | None = None,
    depends: bytes = b"",
    complete: bool = True,
    flags: int = 0,
) -> "Callable[[Endpoint], bytes]":
    """HEADERS, in one frame.

    Args:
        stream: On which.
        fields: The list, or a block as it is.
        end: With END_STREAM.
        padding: How many bytes of it.
        claimed: What the padding's length says, if not the truth.
        depends: The priority fields (`tests.support.http2_frames.dependency`).
        complete: With END_HEADERS.
        flags: More flags.
    """

    def part(endpoint: Endpoint) -> bytes:
        block = depends + encoded(endpoint, fields)
        bits = flags | (END_STREAM if end else 0) | (END_HEADERS if complete else 0) | (PRIORITISED if depends else 0)
        if padding is None:
            return frame(HEADERS, bits, stream, block)
        return frame(HEADERS, bits | PADDED, stream, padded(block, padding, claimed=claimed))

    return part


def fragmented(
    stream: int,
    fields: Fields | bytes = REQUEST,
    *,
    sizes: Iterable[int] = (8,),
    end: bool = False,
    between: Part = b"",
) -> Part:
    """HEADERS and CONTINUATION frames with this many bytes of the block each; the last has the rest."""

    def part(endpoint: Endpoint) -> bytes:
        block = encoded(endpoint, fields)
        fragments: list[bytes] = []
        for size in sizes:
            fragments.append(block[:size])
            block = block[size:]
        fragments.append(block)
        flags = [END_STREAM if end else 0, *[0] * (len(fragments) - 1)]
        flags[-1] |= END_HEADERS
        kinds = [HEADERS, *[CONTINUATION] * (len(fragments) - 1)]
        frames = (frame(kind, bits, stream, part) for kind, bits, part in zip(kinds, flags, fragments, strict=True))
        return b"".join(frames)

    return part


def encoded(endpoint: Endpoint, fields: Fields | bytes) -> bytes:
    """A header list, encoded by the peer's encoder."""
    if isinstance(fields, bytes):
        return fields
    fields = list(fields)
    small = sum(len(value) for _, value in fields) < 5_000  # Huffman coding of long texts is slow.
    return bytes(endpoint.encoder.encode(fields, huffman=small))


def without(fields: Iterable[tuple[str, str]], *names: str) -> tuple[tuple[str, str], ...]:
    """The header list without these fields."""
    return tuple(field for field in fields if field[0] not in names)


def opened(*, end: bool = False) -> Part:
    """Our client opens a call: the first is on stream 1, the next on 3."""
    return acting(lambda endpoint: endpoint.open(end=end))


def drained() -> Part:
    """We accept no further streams."""
    return acting(Endpoint.drain)


def cancelled(stream: int = 1) -> Part:
    """Our client resets its call."""
    return acting(lambda endpoint: endpoint.cancel(stream))


def acting(act: Callable[[Endpoint], object]) -> Part:
    """We do something; the peer sends nothing."""

    def part(endpoint: Endpoint) -> bytes:
        act(endpoint)
        return b""

    return part


def live(endpoint: Endpoint) -> bytes:
    """A call is open on stream 1, in both directions, and a client's has the head of its response."""
    if endpoint.role == "client":
        endpoint.open()
    return headers(1, REQUEST if endpoint.role == "server" else RESPONSE)(endpoint)


LIVE: Final[Part] = live

# Frames that bring a stream into each state (RFC 9113 §5.1), for the rows of a server

OPEN: Final = headers(1)
HALF_CLOSED: Final = headers(1, end=True)
RESET: Final = (headers(1), rst_stream(1))
ANSWERED: Final = headers(1, GET, end=True)  # Complete in both directions: our response is HTTP 405.
