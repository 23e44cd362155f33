"""RFC 9113 §6.9, WINDOW_UPDATE: its format, and windows exceeded by either side."""

import pytest

from tests.support.http2_frames import (
    DEFAULT_WINDOW,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME,
    MAX_WINDOW,
    WINDOW_UPDATE,
    Frame,
    data,
    frame,
    window_update,
)
from tests.support.reactions import (
    BY_PROTOCOL,
    BY_SIZE,
    HALF_CLOSED,
    LIVE,
    MALFORMED,
    Row,
    both_roles,
    cancelled,
    each,
    headers,
    is_whole,
    judge,
    row,
)
from tests.support.rfc9113 import Endpoint, Role

BY_WINDOW = "connection FLOW_CONTROL_ERROR"
STREAM_BY_WINDOW = "stream FLOW_CONTROL_ERROR"
ROOM = MAX_WINDOW - DEFAULT_WINDOW  # By how much a window that is as large as at first may grow.

EITHER = [
    row("an update of a stream", "nothing", window_update(1, 1), before=(LIVE,)),
    row("an update of the connection", "nothing", window_update(0, 1), stream=0),
    row("an update of an idle stream", BY_PROTOCOL, window_update(1, 1)),
    row("an update of 0", MALFORMED, window_update(1, 0), before=(LIVE,)),
    row("an update of 0 of the connection", BY_PROTOCOL, window_update(0, 0), stream=0),
    row("of 0 but for the reserved bit", MALFORMED, window_update(1, 1 << 31), before=(LIVE,)),
    row("the reserved bit is ignored", "nothing", window_update(1, 1 << 31 | 1), before=(LIVE,)),
    row("an update of 3 bytes", BY_SIZE, frame(WINDOW_UPDATE, 0, 0, bytes(3)), stream=0),
    row("an update of 5 bytes", BY_SIZE, frame(WINDOW_UPDATE, 0, 0, bytes(5)), stream=0),
    row("an update of 3 bytes of a stream", BY_SIZE, frame(WINDOW_UPDATE, 0, 1, bytes(3)), before=(LIVE,)),
    row("a stream's window of 2^31-1", "nothing", window_update(1, ROOM), before=(LIVE,)),
    row("a stream's window of 2^31", STREAM_BY_WINDOW, window_update(1, ROOM + 1), before=(LIVE,)),
    row("in two steps", STREAM_BY_WINDOW, window_update(1, ROOM), window_update(1, 1), before=(LIVE,)),
    row("the connection's window of 2^31-1", "nothing", window_update(0, ROOM), stream=0),
    row("the connection's window of 2^31", BY_WINDOW, window_update(0, ROOM + 1), stream=0),
    row("in two steps, too", BY_WINDOW, window_update(0, ROOM), window_update(0, 1), stream=0),
]
SERVER = [
    row("an update of a half-closed stream", "nothing", window_update(1, 1), before=(HALF_CLOSED,)),
    row("an update of 0 of a half-closed stream", MALFORMED, window_update(1, 0), before=(HALF_CLOSED,)),
    row("a half-closed stream's window of 2^31", STREAM_BY_WINDOW, window_update(1, ROOM + 1), before=(HALF_CLOSED,)),
]


@both_roles
@each(EITHER)
def test_window_updates(role: Role, row: Row) -> None:
    judge(role, row)


@each(SERVER)
def test_window_updates_of_a_client(row: Row) -> None:
    judge("server", row)


# What we announce: the stream's window in SETTINGS, the connection's by an update at the beginning.
STREAM, CONNECTION = 64 * 1024, 1024 * 1024


def chunks(stream: int, size: int, *, padding: int | None = None) -> bytes:
    """DATA of so many bytes, as the windows count them."""
    frames = b""
    while size:
        step = min(MAX_FRAME, size)
        extra = 0 if padding is None else 1 + padding
        frames += data(stream, bytes(step - extra), padding=padding)
        size -= step
    return frames


@both_roles
def test_the_windows_that_we_announce_are_those_of_our_limits(role: Role) -> None:
    endpoint = Endpoint(role)
    assert (INITIAL_WINDOW_SIZE, STREAM) in endpoint.settings
    assert DEFAULT_WINDOW + sum(granted_by(came) for came in endpoint.frames if not came.stream) == CONNECTION


@both_roles
@pytest.mark.parametrize("padding", [None, 100])
def test_a_stream_accepts_exactly_what_its_window_allows(role: Role, padding: int | None) -> None:
    endpoint = Endpoint(role)
    endpoint.feed(LIVE)
    endpoint.look()
    endpoint.feed(chunks(1, STREAM, padding=padding))
    assert endpoint.reaction(1) == "nothing"
    granted = sum(granted_by(came) for came in endpoint.frames if came.stream == 1)  # Padding is consumed at once.
    endpoint.feed(chunks(1, granted) + data(1, b"x"))
    assert endpoint.reaction(1) in (STREAM_BY_WINDOW, BY_WINDOW)


@both_roles
def test_data_on_any_stream_reopens_the_connection_s_window(role: Role) -> None:
    endpoint = Endpoint(role)
    endpoint.look()
    for number in range(60):  # Nearly four times the connection's window.
        stream = 2 * number + 1
        if role == "client":
            endpoint.open()
        fields = {
            "server": headers(stream),
            "client": headers(stream, ((":status", "200"), ("content-type", "application/grpc"))),
        }
        endpoint.feed(fields[role], chunks(stream, STREAM))
        assert not endpoint.failed
    granted = sum(granted_by(came) for came in endpoint.frames if not came.stream)
    assert granted >= 60 * STREAM - CONNECTION // 2
    is_whole(endpoint)


@both_roles
def test_data_on_streams_that_are_over_count_for_the_connection(role: Role) -> None:
    endpoint = Endpoint(role)
    endpoint.feed(LIVE)
    endpoint.feed(cancelled() if role == "client" else window_update(1, MAX_WINDOW))
    endpoint.look()
    for _ in range(4):  # Data in flight: no more than the stream's window allowed.
        endpoint.feed(chunks(1, STREAM // 4))
    for number in range(1, 60):
        stream = 2 * number + 1
        if role == "client":
            endpoint.open()
            endpoint.cancel(stream)
            endpoint.feed(chunks(stream, STREAM // 2))
        else:
            endpoint.feed(headers(stream), window_update(stream, MAX_WINDOW), chunks(stream, STREAM // 2))
        assert not endpoint.failed
    granted = sum(granted_by(came) for came in endpoint.frames if not came.stream)
    assert granted >= 59 * STREAM // 2 - CONNECTION // 2
    is_whole(endpoint)


def granted_by(came: Frame) -> int:
    """What a frame of ours adds to a window."""
    return int.from_bytes(came.payload, "big") if came.kind == WINDOW_UPDATE else 0
