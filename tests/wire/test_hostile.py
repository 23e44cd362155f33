"""Bytes that no well-behaved peer sends give events and a GOAWAY, never an exception, however they are split."""

import contextlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import hpack
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echo.wire.events import ConnectionFailed
from echo.wire.head import Request, Response, Trailers
from echo.wire.limits import Limits
from echo.wire.message import encode_message
from echo.wire.status import Status
from tests.support.pair import (
    PREFACE,
    Client,
    ConnectionPair,
    DataReceived,
    Event,
    Numbered,
    RequestRefused,
    RequestStarted,
    Server,
    StreamReset,
    frames,
    head,
    of_type,
)
from tests.support.pair import settings as settings_frame

SETTINGS = SettingsFrame(0).serialize()
CALL = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/s/m"),
    (":authority", "a"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


def recorded_conversation() -> tuple[bytes, bytes]:
    """The bytes that a client and a server exchange in a few calls."""
    client, server = Client(Limits()), Server(Limits())
    client.start()
    said: list[bytes] = []
    answered: list[bytes] = []

    def exchange() -> None:
        said.append(client.take_output())
        list(server.receive(said[-1]))
        answered.append(server.take_output())
        list(client.receive(answered[-1]))

    exchange()
    for number in range(3):
        stream_id = client.open(Request(f"/s/m{number}", timeout=1))
        client.send_message(stream_id, encode_message(b"x" * 50 * number))
        exchange()
        server.send_response(stream_id, Response())
        server.send_message(stream_id, encode_message(b"y" * 30))
        client.half_close(stream_id)
        exchange()
        server.send_trailers(stream_id, Trailers())
        exchange()
    stream_id = client.open(Request("/s/m"))
    client.ping(b"12345678")
    exchange()
    client.reset(stream_id, ErrorCodes.CANCEL)
    exchange()
    client.goaway()
    exchange()
    return b"".join(said), b"".join(answered)


SAID, ANSWERED = recorded_conversation()


def fresh_server() -> Server:
    return Server(Limits())


def fresh_client() -> Client:
    """A client with the calls open that the recorded answers speak of."""
    client = Client(Limits())
    client.start()
    for number in range(4):
        client.open(Request(f"/s/m{number}"))
    return client


def fed(connection: Numbered[Any], data: bytes, cuts: list[int]) -> list[Event]:
    """The events of feeding the data in pieces, up to the first failure."""
    events: list[Event] = []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        for event in connection.receive(data[start:end]):
            if isinstance(event, ConnectionFailed):
                return [*events, event.error_code]  # Its words may quote what has come so far.
            last = events[-1] if events else None
            if isinstance(event, DataReceived) and isinstance(last, DataReceived) and event.stream_id == last.stream_id:
                events[-1] = DataReceived(event.stream_id, last.data + event.data)  # One read, one event.
            else:
                events.append(event)
    return events


@given(st.lists(st.integers(0, 2**16), max_size=30))
def test_events_do_not_depend_on_how_the_bytes_are_split(cuts: list[int]) -> None:
    assert fed(fresh_server(), SAID, cuts) == fed(fresh_server(), SAID, [])
    assert fed(fresh_client(), ANSWERED, cuts) == fed(fresh_client(), ANSWERED, [])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_bytes_end_in_events_not_in_exceptions(data: st.DataObject) -> None:
    conversations: list[tuple[bytes, Callable[[], Numbered[Any]]]] = [(SAID, fresh_server), (ANSWERED, fresh_client)]
    sound, fresh = data.draw(st.sampled_from(conversations))
    damaged = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "repeat", "insert"])):
            case "flip":
                damaged[position] ^= data.draw(st.integers(1, 255))
            case "cut":
                del damaged[position : position + data.draw(st.integers(1, 40))]
            case "repeat":
                damaged[position:position] = damaged[position : position + data.draw(st.integers(1, 60))]
            case "insert":
                damaged[position:position] = data.draw(st.binary(max_size=20))
        if not damaged:
            return
    cuts = data.draw(st.lists(st.integers(0, 2**16), max_size=10))
    whole = fed(fresh(), bytes(damaged), [])
    assert fed(fresh(), bytes(damaged), cuts) == whole


@given(st.binary(max_size=300))
def test_arbitrary_bytes_after_the_preface_end_in_events(data: bytes) -> None:
    fed(fresh_server(), PREFACE + SETTINGS + data, [])


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/3.0\n"])
def test_other_protocols_are_turned_away(data: bytes) -> None:
    server = fresh_server()
    (event,) = server.receive(data)
    assert isinstance(event, ConnectionFailed)
    assert event.error_code == ErrorCodes.PROTOCOL_ERROR


def test_good_frames_before_a_bad_one_count() -> None:
    pair = ConnectionPair()
    pair.client.open(Request("/s/m"))
    bad = b"\x00\x00\x01\x06\x00\x00\x00\x00\x00x"  # A PING of one byte.
    events = list(pair.server.receive(pair.client.take_output() + bad))
    assert [type(event) for event in events] == [RequestStarted, ConnectionFailed]


def test_good_data_before_data_beyond_the_announced_length_counts() -> None:
    fields = [*CALL, ("content-length", "9")]
    good, bad = DataFrame(1, data=b"x" * 9), DataFrame(1, data=b"y")
    pair = ConnectionPair()
    pair.server.receive(head(1, fields))
    data, failure = pair.server.receive(good.serialize() + bad.serialize())
    assert data == DataReceived(1, b"x" * 9)
    assert failure == StreamReset(1, ErrorCodes.PROTOCOL_ERROR)


def test_an_overlong_frame_is_refused_from_its_header() -> None:
    server = fresh_server()
    server.take_output()
    header = (2**24 - 1).to_bytes(3, "big") + b"\x00\x00" + (1).to_bytes(4, "big")
    (*_, event) = server.receive(PREFACE + SETTINGS + header)
    assert isinstance(event, ConnectionFailed)
    assert event.error_code == ErrorCodes.FRAME_SIZE_ERROR
    *_, goaway = frames(server.take_output())
    assert isinstance(goaway, GoAwayFrame)
    assert goaway.error_code == ErrorCodes.FRAME_SIZE_ERROR


def test_invented_settings_are_not_kept_and_the_hpack_table_stays_small() -> None:
    server = fresh_server()
    invented = settings_frame({1: 2**31, **dict.fromkeys(range(1000, 3000), 7)})
    assert not of_type(server.receive(PREFACE + invented), ConnectionFailed)
    assert not hasattr(server.wire._out.peer, "__dict__")  # They are not allowed here.
    server.take_output()
    server.receive(head(1, CALL, end=True))
    server.send_response(1, Response())
    *_, answer = frames(server.take_output())
    assert isinstance(answer, HeadersFrame)
    assert hpack.Decoder().decode(answer.data)  # One whose table is of 4,096 bytes.


def test_a_header_list_far_above_the_limit_ends_the_connection() -> None:
    pair = ConnectionPair(Limits(max_header_list_size=2_000))
    fields = [*CALL, *((f"x-{number}", "y" * 50) for number in range(200))]
    (event,) = pair.server.receive(head(1, fields))
    assert isinstance(event, ConnectionFailed)
    assert event.error_code == ErrorCodes.ENHANCE_YOUR_CALM


def test_data_after_the_end_of_a_stream_resets_that_stream_alone() -> None:
    pair = ConnectionPair()
    other = pair.open()
    stream_id = pair.open(end=True)
    late = Frame.parse_frame_header(memoryview(b"\x00\x00\x01\x00\x00" + stream_id.to_bytes(4, "big")))[0]
    late.parse_body(memoryview(b"x"))
    with contextlib.suppress(StopIteration):
        list(pair.server.receive(late.serialize()))
    resets = [frame for frame in frames(pair.server.take_output()) if isinstance(frame, RstStreamFrame)]
    assert [frame.stream_id for frame in resets] == [stream_id]
    pair.client.send_message(other, b"fine")
    assert DataReceived(other, b"fine") in pair.to_server()


def test_a_request_that_is_not_a_call_is_answered_and_forgotten() -> None:
    pair = ConnectionPair()
    refused = pair.server.receive(head(1, [(":method", "GET"), *CALL[1:]], end=True))
    assert refused == [RequestRefused(1, Status.INTERNAL)]
    answer, body = frames(pair.server.take_output())
    assert isinstance(answer, HeadersFrame)
    assert isinstance(body, DataFrame)
    assert b"gRPC" in body.data
    assert "END_STREAM" in body.flags
    pair.server.take_writable()
    assert pair.server.holds_nothing


def test_a_server_that_opens_streams_breaks_the_connection() -> None:
    pair = ConnectionPair()
    pair.open()
    headers = HeadersFrame(2, data=b"\x88", flags=["END_HEADERS"])  # ":status: 200"
    (failure,) = pair.client.receive(headers.serialize())
    assert isinstance(failure, ConnectionFailed)
    assert failure.error_code == ErrorCodes.PROTOCOL_ERROR
    assert pair.client.open_streams == {1}
