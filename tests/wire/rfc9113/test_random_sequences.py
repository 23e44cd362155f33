"""Valid frames in any order, to either role: `receive` reports events and never raises."""

from contextlib import suppress

from grpclib.exceptions import GRPCError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.http2_frames import (
    CODES,
    INITIAL_WINDOW_SIZE,
    MAX_WINDOW,
    SETTINGS_ACK,
    continuation,
    data,
    dependency,
    frame,
    goaway,
    ping,
    priority,
    push_promise,
    rst_stream,
    window_update,
)
from tests.support.http2_frames import settings as settings_frame
from tests.support.reactions import (
    GET,
    POST,
    REQUEST,
    RESPONSE,
    TRAILERS,
    both_roles,
    fragmented,
    headers,
)
from tests.support.rfc9113 import Endpoint, Part, Role

STREAMS = st.sampled_from([1, 1, 1, 3, 3, 5, 7, 9])
ANY_STREAM = st.one_of(STREAMS, st.sampled_from([0, 2, 101, MAX_WINDOW]))
WINDOWS = st.sampled_from([0, 1, 5, 1_000, 65_535, MAX_WINDOW - 65_535, MAX_WINDOW])

LISTS = st.sampled_from(
    [
        REQUEST,
        GET,
        POST,
        RESPONSE,
        TRAILERS,
        (*RESPONSE, *TRAILERS),
        (*REQUEST, ("content-length", "3")),
        (*RESPONSE, ("content-length", "3")),
        (*REQUEST, ("x-large", "&" * 17_000)),
        (*RESPONSE, ("x-large", "&" * 17_000)),
        ((":status", "103"),),
        ((":status", "404"),),
        (("X-Note", "v"),),
        (("x-note", " v "), ("x-bin", "!!")),
        (*TRAILERS, ("grpc-status", "x"), ("grpc-message", "%zz")),
        (*REQUEST, ("grpc-timeout", "soon"), ("grpc-encoding", "snappy")),
        (),
    ]
)

HEADS: st.SearchStrategy[Part] = st.one_of(
    st.builds(lambda stream, fields, end: headers(stream, fields, end=end), STREAMS, LISTS, st.booleans()),
    st.builds(lambda stream, fields, end: fragmented(stream, fields, end=end), STREAMS, LISTS, st.booleans()),
    st.builds(lambda stream, on: headers(stream, depends=dependency(on)), STREAMS, STREAMS),
)
BODIES: st.SearchStrategy[Part] = st.builds(
    lambda stream, size, end, padding: data(stream, bytes(size), end=end, padding=padding),
    STREAMS,
    st.sampled_from([0, 1, 3, 5, 1_000, 16_000]),
    st.booleans(),
    st.sampled_from([None, 0, 200]),
)
# What may come at any time: the connection is to go on, or to end by the rules.
OTHERS: st.SearchStrategy[Part] = st.one_of(
    st.builds(priority, STREAMS, STREAMS),
    st.builds(rst_stream, STREAMS, st.sampled_from([*range(len(CODES)), 0xFF])),
    st.builds(lambda size: settings_frame((INITIAL_WINDOW_SIZE, size)), WINDOWS),
    st.builds(
        lambda name, value: settings_frame((name, value)),
        st.sampled_from([1, 2, 3, 5, 7, 8, 9]),
        st.sampled_from([0, 1, 100, 20_000]),
    ),
    st.just(SETTINGS_ACK),
    st.builds(ping, st.binary(min_size=8, max_size=8)),
    st.builds(lambda payload: ping(payload, ack=True), st.binary(min_size=8, max_size=8)),
    st.builds(goaway, st.sampled_from([0, 1, 2, 3, 99, MAX_WINDOW]), st.integers(0, 20), st.binary(max_size=5)),
    st.builds(window_update, st.one_of(st.just(0), STREAMS), WINDOWS),
    st.builds(
        lambda kind, stream: frame(kind, 0xFF, stream, b"what?"), st.sampled_from([0x0A, 0x10, 0xFF]), ANY_STREAM
    ),
)
# What never may: seldom, or nothing else would be tried.
WRONG: st.SearchStrategy[Part] = st.one_of(
    st.builds(push_promise, ANY_STREAM, ANY_STREAM, st.just(b"\x82")),
    st.builds(continuation, ANY_STREAM, st.just(b"\x82")),
    st.builds(data, ANY_STREAM, st.just(b"x")),
    st.builds(rst_stream, ANY_STREAM),
    st.builds(window_update, ANY_STREAM, WINDOWS),
    st.builds(headers, ANY_STREAM),
)


def act(what: str, which: int) -> Part:
    """Meanwhile, our application acts on one of its calls."""

    def part(endpoint: Endpoint) -> bytes:
        calls = sorted(endpoint.open_calls)
        if endpoint.role == "client" and (what == "open" or not calls):
            with suppress(GRPCError):  # The peer may accept no header list at all.
                endpoint.open(end=which % 2 == 0)
        elif what == "cancel" and calls:
            endpoint.cancel(calls[which % len(calls)])
        return b""

    return part


MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ACTS: st.SearchStrategy[Part] = st.builds(act, st.sampled_from(["open", "open", "cancel"]), st.integers(0, 5))
SOUND = st.one_of(HEADS, HEADS, BODIES, OTHERS, ACTS)


@both_roles
@MANY
@given(parts=st.lists(SOUND, max_size=25), last=st.lists(WRONG, max_size=2), size=st.sampled_from([None, 1, 50]))
def test_no_sequence_of_frames_raises(role: Role, parts: list[Part], last: list[Part], size: int | None) -> None:
    endpoint = Endpoint(role)
    for _ in range(3 if role == "client" else 0):
        endpoint.open()
    for part in [*parts, *last]:
        endpoint.feed(part, size=size)
        if endpoint.failed:
            break
    if endpoint.failed:
        assert endpoint.reaction(0).startswith("connection ")
        return
    endpoint.look()
    endpoint.later()
    endpoint.feed(ping())
    assert endpoint.reaction(0) == "PING ACK"


@both_roles
@MANY
@given(parts=st.lists(st.one_of(SOUND, WRONG), max_size=25))
def test_results_do_not_depend_on_how_the_bytes_are_split(role: Role, parts: list[Part]) -> None:
    told: list[list[object]] = []
    for size in (None, 3):
        endpoint = Endpoint(role)
        for part in parts:
            endpoint.feed(part, size=size)
            if endpoint.failed:
                break
        told.append(
            [(type(event), getattr(event, "error_code", None)) for event in endpoint.events if not is_data(event)]
        )
    assert told[0] == told[1]


def is_data(event: object) -> bool:
    """DATA may be reported in different pieces."""
    return type(event).__name__ == "DataReceived"
