"""The wire, tested by a real client and a real server that exchange bytes."""

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, RstStreamFrame
from multidict import MultiDict

from echo.wire.closed import MAX_ENDED, MAX_LATE
from echo.wire.errors import LocalProtocolError
from echo.wire.events import GoAwayReceived, PingAcknowledged
from echo.wire.frames import MAX_STREAM_ID as LAST_STREAM_ID
from echo.wire.head import Request, Response, Trailers
from echo.wire.limits import Limits
from echo.wire.message import encode_message
from echo.wire.status import Status
from tests.support.pair import (
    CallEnded,
    ConnectionPair,
    DataReceived,
    HalfClosed,
    RequestStarted,
    ResponseStarted,
    frames,
    kinds,
    of_type,
)


def test_a_call_is_reported_on_both_sides() -> None:
    pair = ConnectionPair()
    stream_id = pair.client.open(Request("/s/m", authority="here", timeout=2.5, metadata=MultiDict({"a": "b"})))
    pair.client.send_message(stream_id, b"ping")
    pair.client.half_close(stream_id)
    request, data, ended = pair.to_server()
    assert isinstance(request, RequestStarted)
    assert (request.request.path, request.request.authority, request.request.timeout) == ("/s/m", "here", 2.5)
    assert request.request.metadata == MultiDict({"a": "b"})
    assert data == DataReceived(stream_id, b"ping")
    assert ended == HalfClosed(stream_id)

    pair.server.send_response(stream_id, Response(MultiDict({"c-bin": b"\0"})))
    pair.server.send_message(stream_id, b"pong")
    assert pair.server.send_trailers(stream_id, Trailers(Status.ABORTED, "why ✓", b"details", MultiDict({"d": "e"})))
    response, data, end = pair.to_client()
    assert isinstance(response, ResponseStarted)
    assert response.response.metadata == MultiDict({"c-bin": b"\0"})
    assert data == DataReceived(stream_id, b"pong")
    assert end == CallEnded(stream_id, Trailers(Status.ABORTED, "why ✓", b"details", MultiDict({"d": "e"})))
    assert not pair.client.is_open(stream_id)
    assert not pair.server.is_open(stream_id)


def test_trailers_without_a_response_are_one_header_list() -> None:
    pair = ConnectionPair()
    stream_id = pair.open(end=True)
    pair.server.send_trailers(stream_id, Trailers(Status.NOT_FOUND, "no"))
    output = pair.server.take_output()
    assert kinds(output) == ["Headers"]
    (event,) = pair.client.receive(output)
    assert isinstance(event, CallEnded)
    assert event.trailers.status == Status.NOT_FOUND


def test_messages_sent_together_leave_in_one_frame() -> None:
    pair = ConnectionPair()
    stream_id = pair.open()
    for number in range(100):
        pair.client.send_message(stream_id, encode_message(b"%d" % number))
    pair.client.half_close(stream_id)
    (frame,) = frames(pair.client.take_output())
    assert isinstance(frame, DataFrame)
    assert "END_STREAM" in frame.flags


def test_a_response_that_ends_before_the_request_resets_the_stream() -> None:
    pair = ConnectionPair()
    stream_id = pair.open()
    pair.server.send_trailers(stream_id, Trailers())
    *_, headers, reset = frames(pair.server.take_output())
    assert isinstance(headers, HeadersFrame)
    assert isinstance(reset, RstStreamFrame)
    assert reset.error_code == ErrorCodes.NO_ERROR


def test_aborting_drops_unsent_messages_and_ends_with_trailers() -> None:
    pair = ConnectionPair(client_limits=Limits(stream_window=65_535))
    stream_id = pair.open(end=True)
    pair.server.send_response(stream_id, Response())
    pair.server.send_message(stream_id, b"x" * 65_535)
    pair.to_client()
    pair.server.send_message(stream_id, b"y" * 10)
    pair.server.abort(stream_id, Trailers(Status.UNAVAILABLE, "bye"))
    (event,) = pair.to_client()
    assert isinstance(event, CallEnded)
    assert event.trailers.status is Status.UNAVAILABLE


def test_aborting_inside_a_message_also_sends_the_reason() -> None:
    pair = ConnectionPair(client_limits=Limits(stream_window=65_535))
    stream_id = pair.open(end=True)
    pair.server.send_response(stream_id, Response())
    pair.server.send_message(stream_id, b"x" * 65_536)
    pair.to_client()
    pair.server.abort(stream_id, Trailers(Status.UNAVAILABLE, "bye"))
    (event,) = pair.to_client()
    assert isinstance(event, CallEnded)
    assert event.trailers.status is Status.UNAVAILABLE


def test_aborting_replaces_queued_trailers() -> None:
    pair = ConnectionPair(client_limits=Limits(stream_window=65_535))
    stream_id = pair.open(end=True)
    pair.server.send_response(stream_id, Response())
    pair.server.send_message(stream_id, b"x" * 65_535)
    pair.server.send_message(stream_id, b"y")
    assert not pair.server.send_trailers(stream_id, Trailers())
    pair.to_client()
    pair.server.abort(stream_id, Trailers(Status.DEADLINE_EXCEEDED))
    (event,) = pair.to_client()
    assert isinstance(event, CallEnded)
    assert event.trailers.status is Status.DEADLINE_EXCEEDED


def test_sending_after_the_end_is_our_own_error() -> None:
    pair = ConnectionPair()
    stream_id = pair.open()
    pair.client.half_close(stream_id)
    with pytest.raises(LocalProtocolError):
        pair.client.send_message(stream_id, b"more")
    with pytest.raises(LocalProtocolError):
        pair.client.half_close(stream_id)
    with pytest.raises(LocalProtocolError):
        pair.server.send_message(stream_id, b"before the head")
    pair.server.send_response(stream_id, Response())
    with pytest.raises(LocalProtocolError):
        pair.server.send_response(stream_id, Response())


def test_sending_on_a_stream_that_is_over_is_our_own_error() -> None:
    pair = ConnectionPair()
    stream_id = pair.open()
    pair.server.reset(stream_id, ErrorCodes.CANCEL)
    pair.to_client()
    with pytest.raises(LocalProtocolError):
        pair.client.send_message(stream_id, b"more")


def test_nothing_follows_trailers_that_wait_for_the_window() -> None:
    pair = ConnectionPair(client_limits=Limits(stream_window=65_535))
    stream_id = pair.open()
    pair.server.send_response(stream_id, Response())
    pair.server.send_message(stream_id, b"x" * 65_536)
    assert not pair.server.send_trailers(stream_id, Trailers())
    with pytest.raises(LocalProtocolError):
        pair.server.send_message(stream_id, b"more")


def test_metadata_that_cannot_be_sent_does_not_harm_the_connection() -> None:
    pair = ConnectionPair()
    with pytest.raises(ValueError, match="Upper"):
        pair.client.open(Request("/s/m", metadata=MultiDict({"Upper": "x"})))
    stream_id = pair.client.open(Request("/s/m"), end=True)
    assert [type(event) for event in pair.to_server()] == [RequestStarted, HalfClosed]
    pair.server.send_trailers(stream_id, Trailers())
    assert [type(event) for event in pair.to_client()] == [CallEnded]


def test_resetting_twice_or_after_the_end_does_nothing() -> None:
    pair = ConnectionPair()
    stream_id = pair.open()
    pair.client.reset(stream_id, ErrorCodes.CANCEL)
    pair.client.reset(stream_id, ErrorCodes.CANCEL)
    assert kinds(pair.client.take_output()) == ["RstStream"]


def test_calls_go_on_after_a_goaway_in_either_direction() -> None:
    pair = ConnectionPair()
    stream_id = pair.open()
    pair.server.goaway(last_stream_id=LAST_STREAM_ID)
    pair.client.goaway(debug=b"soon")
    assert pair.to_client() == [GoAwayReceived(LAST_STREAM_ID, 0, b"")]
    assert pair.to_server() == [GoAwayReceived(0, 0, b"soon")]
    pair.client.send_message(stream_id, b"still here")
    assert pair.to_server() == [DataReceived(stream_id, b"still here")]
    pair.server.send_trailers(stream_id, Trailers())
    assert of_type(pair.to_client(), CallEnded)
    pair.server.goaway()
    assert pair.to_client() == [GoAwayReceived(stream_id, 0, b"")]


def test_a_ping_is_answered_and_its_answer_reported() -> None:
    pair = ConnectionPair()
    pair.client.ping(b"12345678")
    assert pair.to_server() == []
    assert pair.to_client() == [PingAcknowledged(b"12345678")]


def test_streams_that_are_over_leave_nothing_behind() -> None:
    pair = ConnectionPair()
    for number in range(3_000):
        stream_id = pair.open(end=True)
        if number % 2:
            pair.server.send_trailers(stream_id, Trailers())
        else:
            pair.server.reset(stream_id, ErrorCodes.CANCEL)
        pair.to_client()
        pair.server.take_writable()
        pair.client.take_writable()
    for connection in (pair.client, pair.server):
        assert connection.holds_nothing
        closed = connection.wire._closed
        assert len(closed._late) + len(closed._ended) <= MAX_LATE + MAX_ENDED


def test_our_goaway_gives_the_reason() -> None:
    pair = ConnectionPair()
    pair.server.goaway(ErrorCodes.ENHANCE_YOUR_CALM, debug=b"too_many_pings")
    (frame,) = frames(pair.server.take_output())
    assert isinstance(frame, GoAwayFrame)
    assert (frame.error_code, frame.additional_data) == (ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings")
