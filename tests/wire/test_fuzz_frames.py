"""Frames of any kind, in any order, on any stream: the same events however they are cut, and bounded memory.

`test_hostile` damages sound conversations; here hypothesis makes up conversations, so that each frame meets states that
it was not meant for. The connections' user is like the transport: it reads nothing, and refuses calls above the limit.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from h2.errors import ErrorCodes
from hpack import Encoder, NeverIndexedHeaderTuple
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from echo.wire.events import ConnectionFailed
from echo.wire.head import Request, Response, Trailers
from echo.wire.limits import Limits
from tests.support.pair import (
    PREFACE,
    CallEnded,
    Client,
    DataReceived,
    Event,
    Numbered,
    RequestStarted,
    Server,
    StreamReset,
)
from tests.support.pair import settings as settings_frame

LIMITS = Limits(
    max_concurrent_streams=3,
    max_header_list_size=1_000,
    stream_window=2_000,
    connection_window=65_535,
    flood_burst=20,
    flood_rate=0,
    max_output=5_000,
)
FRAME = 9 + 16_384
OPEN = 4  # Calls the client has opened before anything arrives.


Fields = Sequence[tuple[str | bytes, str | bytes]]


def block(fields: Fields, *, indexed: bool) -> bytes:
    return Encoder().encode([pair if indexed else NeverIndexedHeaderTuple(*pair) for pair in fields])


REQUESTS: list[Fields] = [
    Request("/s/m").fields(),
    Request("/s/m").fields(),
    [*Request("/s/m").fields(), ("content-length", "9")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
]
ANSWERS: list[Fields] = [
    Response().fields(),
    Response().fields(),
    Response().fields(),
    Trailers().fields(with_head=True),
    [(":status", "404")],
]
ODD: list[Fields] = [[*Request("/s/m").fields(), ("x", "y" * 950)], [("Bad", "name")], [(":status", "99")]]

STREAMS = st.sampled_from([1, 1, 3, 5, 7, 2, 0, 2**31 - 1])
FLAGS = st.sampled_from([0x4, 0x5, 0x0, 0x1, 0x8, 0x24, 0xFF])  # END_HEADERS, END_STREAM, PADDED, PRIORITY
END_HEADERS = 0x4


def frame(kind: int, flags: int, stream_id: int, payload: bytes, *, more: int = 0) -> bytes:
    """A frame, possibly with a wrong length."""
    length = max(0, len(payload) + more).to_bytes(3, "big")
    return length + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def blocks(*lists: Fields) -> st.SearchStrategy[bytes]:
    return st.sampled_from([block(fields, indexed=indexed) for fields in lists for indexed in (True, False)])


WRONG = st.one_of(
    st.builds(frame, st.just(1), FLAGS, STREAMS, blocks(*REQUESTS, *ANSWERS, *ODD)),
    st.builds(frame, st.just(0), FLAGS, STREAMS, st.sampled_from([b"", b"\x05" * 9, b"x" * 3_000])),
    st.builds(frame, st.just(9), FLAGS, STREAMS, st.one_of(blocks(*ANSWERS), st.just(b"\x10" * 2_000))),
    st.builds(settings_frame, st.dictionaries(st.integers(0, 20), st.sampled_from([0, 2, 70_000, 2**32 - 1]))),
    st.builds(frame, st.integers(0, 12), st.integers(0, 255), STREAMS, st.binary(max_size=60), more=st.integers(-2, 2)),
)


@st.composite
def conversations(draw: st.DrawFn, *, requests: bool) -> list[bytes]:
    """Frames that a well-behaved peer might send, though perhaps not in this state, followed by some wrong ones."""
    newest = -1 if requests else 2 * OPEN - 1
    begun: set[int] = set()  # Their first header list was sent, and they may have ended since.
    frames = []
    for act in draw(st.lists(st.sampled_from("oooohddddrwspf"), max_size=40)):
        stream = draw(st.integers(0, max(0, newest // 2))) * 2 + 1
        end = draw(st.sampled_from([0, 0, 0, 0, 1]))
        match act:
            case "o" | "h":
                first = requests or stream not in begun
                if requests:
                    stream = newest = newest + 2
                lists: list[Fields] = (
                    REQUESTS if requests else ANSWERS if first else [Trailers().fields(with_head=False)]
                )
                head = draw(blocks(*lists))
                end |= not first
                begun.add(stream)
                cut = draw(st.integers(0, 3 * len(head)))
                if cut < len(head):  # The rest in a CONTINUATION.
                    frames.append(frame(1, end, stream, head[:cut]) + frame(9, END_HEADERS, stream, head[cut:]))
                else:
                    frames.append(frame(1, END_HEADERS | end, stream, head))
            case "d" if stream in begun:
                frames.append(frame(0, end, stream, draw(st.sampled_from([b"x", b"\x05" * 9, b"x" * 400, b""]))))
            case "r" if newest > 0:
                frames.append(frame(3, 0, stream, b"\0\0\0\x08"))
            case "w":
                on = draw(st.sampled_from([0, stream] if newest > 0 else [0]))
                frames.append(frame(8, 0, on, draw(st.integers(1, 2**26)).to_bytes(4, "big")))
            case "s":
                values = st.sampled_from([0, 1, 100, 16_384, 65_535])
                frames.append(settings_frame(draw(st.dictionaries(st.sampled_from([1, 3, 4, 6, 9, 999]), values))))
            case "p":
                frames.append(frame(2, 0, stream, bytes([0, 0, 0, 0, 16])))
            case "f":
                frames.append(frame(6, draw(st.sampled_from([0, 1])), 0, b"\0" * 8))
    return frames + draw(st.lists(WRONG, max_size=2))


class User:
    """What the transport does with a connection, and what it must be able to count on."""

    def __init__(self, connection: Numbered[Any]) -> None:
        self.connection = connection
        self.events: list[Event] = []
        self.data: defaultdict[int, bytes] = defaultdict(bytes)
        self.received: Counter[int] = Counter()
        self.failed = False
        self.answer_waited = False  # An answer in plain HTTP has waited for a window.
        self.open = set(range(1, 2 * OPEN, 2)) if isinstance(connection, Client) else set[int]()

    def feed(self, data: bytes) -> None:
        if self.failed:
            return
        connection = self.connection
        for event in connection.receive(data):
            self._note(event)
            if isinstance(event, RequestStarted):
                if len(self.open) >= LIMITS.max_concurrent_streams:
                    connection.reset(event.stream_id, ErrorCodes.REFUSED_STREAM)
                else:
                    self.open.add(event.stream_id)
            elif isinstance(event, DataReceived):
                assert event.stream_id in self.open
                self.received[event.stream_id] += len(event.data)
            elif isinstance(event, StreamReset | CallEnded):
                self.open.discard(event.stream_id)
                self.received.pop(event.stream_id, None)
            elif isinstance(event, ConnectionFailed):
                self.failed = True
        self._holds_no_more_than_it_may()
        output = connection.take_output()
        assert (
            len(output) <= LIMITS.max_output + 2 * LIMITS.max_concurrent_streams * LIMITS.max_header_list_size + FRAME
        )
        connection.take_writable()
        self.answer_waited |= any(not stream.served for stream in connection.wire.streams.values())

    def _note(self, event: Event) -> None:
        if isinstance(event, DataReceived):  # Data that arrives together may be reported as one event.
            self.data[event.stream_id] += event.data
        else:
            self.events.append(event)

    def _holds_no_more_than_it_may(self) -> None:
        wire = self.connection.wire
        served = {stream.id for stream in wire.streams.values() if stream.served}
        assert self.open == served, "the user knows of other streams than the wire"
        assert all(size <= 65_535 for size in self.received.values()), "more came than the stream's window"
        assert sum(self.received.values()) <= LIMITS.connection_window
        incoming = wire._incoming
        assert len(incoming._rest) < FRAME or self.failed
        assert sum(len(part) for part in incoming.block) <= 4 * LIMITS.max_header_list_size + FRAME
        assert len(wire.streams) <= max(LIMITS.max_concurrent_streams, OPEN)


def server() -> User:
    user = User(Server(LIMITS))
    user.feed(PREFACE + settings_frame({}))
    return user


def client() -> User:
    connection = Client(LIMITS)
    connection.start()
    for _ in range(OPEN):
        connection.open(Request("/s/m"))
    user = User(connection)
    user.feed(settings_frame({}))
    return user


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


PEERS = st.one_of(
    st.tuples(st.just(server), conversations(requests=True)), st.tuples(st.just(client), conversations(requests=False))
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PEERS, st.lists(st.integers(0, 2**20), max_size=20))
def test_any_frames_give_the_same_events_however_they_are_cut(
    peer: tuple[Callable[[], User], list[bytes]], cuts: list[int]
) -> None:
    fresh, frames = peer
    whole, cut, framed = fresh(), fresh(), fresh()
    data = b"".join(frames)
    whole.feed(data)
    for piece in pieces(data, cuts):
        cut.feed(piece)
    for piece in frames:
        framed.feed(piece)
    # Its stream counts as open until the answer is sent. So whether the next call is above the limit depends on whether
    # output is taken between the frame that opens the window and the call.
    assume(not framed.answer_waited)
    assert cut.events == whole.events == framed.events
    assert cut.data == whole.data == framed.data
