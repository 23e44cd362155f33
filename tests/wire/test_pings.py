"""How often a client may ping before it gets ``too_many_pings``, as in other gRPC servers."""

import pytest
from hyperframe.frame import GoAwayFrame

from echo.wire.events import ConnectionFailed, Event
from echo.wire.frames import ErrorCode
from echo.wire.head import Response, Trailers
from echo.wire.limits import Limits
from echo.wire.message import encode_message
from echo.wire.server import MAX_PING_STRIKES
from echo.wire.status import Status
from echo.wire.stream import Stream
from tests.support.pair import frames
from tests.support.wire_pair import ConnectionPair

TOO_MANY = ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")


def ping(pair: ConnectionPair, now: float) -> list[Event[Stream]]:
    pair.client.ping(b"12345678")
    return list(pair.server.receive(pair.client.take_output(), now))


def answer_a_ping(pair: ConnectionPair) -> None:
    """The server pings after what the client has sent; the client answers."""
    pair.to_server()
    pair.server.ping(b"12345678")
    assert pair.to_client() == []


def test_a_client_that_pings_as_often_as_allowed_is_never_refused() -> None:
    pair = ConnectionPair(Limits(min_ping_interval=300))
    for number in range(10):
        assert ping(pair, number * 300) == []
        assert pair.server.pings == number + 1


def test_the_third_ping_that_comes_too_early_ends_the_connection() -> None:
    assert MAX_PING_STRIKES == 2
    pair = ConnectionPair(Limits(min_ping_interval=300))
    assert ping(pair, 1_000) == []  # No PING precedes the first.
    assert ping(pair, 1_010) == ping(pair, 1_299) == []
    assert ping(pair, 1_300) == [TOO_MANY]
    *_, goaway = frames(pair.server.take_output())
    assert isinstance(goaway, GoAwayFrame)
    assert (goaway.error_code, goaway.additional_data) == (ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")


def test_waiting_does_not_reset_the_count_of_early_pings() -> None:
    pair = ConnectionPair(Limits(min_ping_interval=300))
    assert ping(pair, 0) == ping(pair, 1) == ping(pair, 2) == ping(pair, 400) == []
    assert ping(pair, 401) == [TOO_MANY]


def test_pings_between_messages_of_ours_do_not_count() -> None:
    pair = ConnectionPair()
    _, served = pair.open()
    pair.server.send_response(served, Response())
    for number in range(100):
        pair.server.send_message(served, encode_message(b"x"))
        pair.to_client()
        assert ping(pair, number / 10) == []


FEW = Limits(flood_burst=10, flood_rate=0)


def test_a_client_s_ping_after_each_message_is_no_flood() -> None:
    """As grpc-go measures bandwidth: a PING at the first DATA of each round trip."""
    pair = ConnectionPair(FEW)
    _, served = pair.open()
    pair.server.send_response(served, Response())
    for _ in range(100):
        pair.server.send_message(served, encode_message(b"x"))
        pair.to_client()
        assert ping(pair, 0) == []


def test_a_server_s_ping_after_each_message_and_half_close_is_no_flood() -> None:
    """A half-close is DATA too, if an empty frame."""
    pair = ConnectionPair(FEW)
    for _ in range(50):
        asked, served = pair.open()
        pair.client.send_message(asked, encode_message(b"x"))
        answer_a_ping(pair)
        pair.client.half_close(asked)
        answer_a_ping(pair)
        pair.server.abort(served, Trailers(Status.OK))
        pair.to_client()


@pytest.mark.parametrize("sends", ["a head", "a message"])
def test_our_messages_reset_the_count_of_early_pings(sends: str) -> None:
    pair = ConnectionPair()
    _, served = pair.open()
    if sends == "a message":
        pair.server.send_response(served, Response())
        pair.to_client()
        pair.server._out.sent_data = False
    assert ping(pair, 0) == ping(pair, 1) == ping(pair, 2) == []
    if sends == "a head":
        pair.server.send_response(served, Response())
    else:
        pair.server.send_message(served, encode_message(b"x"))
    pair.to_client()
    assert ping(pair, 3) == []  # Not counted.
    assert ping(pair, 4) == ping(pair, 5) == []
    assert ping(pair, 6) == [TOO_MANY]


def test_a_client_answers_any_number_of_pings() -> None:
    pair = ConnectionPair()
    for _ in range(100):
        pair.server.ping(b"12345678")
        assert pair.to_client() == []
