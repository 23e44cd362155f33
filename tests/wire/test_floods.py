"""Floods of frames, resets and pings get ENHANCE_YOUR_CALM; what a sound peer may send does not."""

from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame, PriorityFrame, SettingsFrame

from echo.wire.events import ConnectionFailed
from echo.wire.head import Request, Response
from echo.wire.limits import Limits
from echo.wire.message import encode_message
from tests.support.pair import ConnectionPair, Event, frames, of_type

FLOODS: dict[str, Callable[[int], bytes]] = {
    "PING": lambda number: PingFrame(0, opaque_data=b"%8d" % number).serialize(),
    "SETTINGS": lambda number: SettingsFrame(0, settings={4: 65_535 + number % 2}).serialize(),
    "PRIORITY": lambda number: PriorityFrame(2 * number + 1).serialize(),
    "unknown frames": lambda _: b"\x00\x00\x00\xee\x00\x00\x00\x00\x00",
    "empty DATA": lambda _: DataFrame(1, data=b"").serialize(),
    "DATA on a stream that is over": lambda _: DataFrame(3, data=b"x" * 50).serialize(),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_is_answered_with_enhance_your_calm(kind: str) -> None:
    pair = ConnectionPair(Limits(flood_burst=1_000, flood_rate=100, min_ping_interval=0))
    pair.open()
    pair.server.reset(pair.open(), ErrorCodes.CANCEL)
    flood = b"".join(FLOODS[kind](number) for number in range(20_000))
    *_, failure = pair.server.receive(flood, 0)
    assert isinstance(failure, ConnectionFailed)
    assert failure.error_code == ErrorCodes.ENHANCE_YOUR_CALM
    output = pair.server.take_output()
    assert len(output) < 40_000
    *_, goaway = frames(output)
    assert isinstance(goaway, GoAwayFrame)
    assert goaway.error_code == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("kind", FLOODS)
def test_a_moderate_number_of_flood_prone_frames_is_allowed(kind: str) -> None:
    pair = ConnectionPair(Limits(flood_burst=1_000, flood_rate=100, min_ping_interval=0))
    pair.open()
    pair.server.reset(pair.open(), ErrorCodes.CANCEL)
    for number in range(5_000):
        events = list(pair.server.receive(FLOODS[kind](number), number / 90))
        assert not of_type(events, ConnectionFailed)
        pair.server.take_output()


def test_frames_in_flight_when_we_reset_a_stream_are_ignored() -> None:
    limits = Limits(flood_burst=10, flood_rate=0)
    pair = ConnectionPair(limits)
    stream_id = pair.open()
    pair.server.reset(stream_id, ErrorCodes.CANCEL)
    pair.server.take_output()
    late = DataFrame(stream_id, data=b"x" * 8).serialize() * (limits.stream_window // 8)
    assert list(pair.server.receive(late)) == []
    assert pair.server.take_output() == b""
    # A window's worth is what a sound peer may have sent before it heard of the reset; more is a flood.
    *_, failure = pair.server.receive(DataFrame(stream_id, data=b"x").serialize() * 11)
    assert isinstance(failure, ConnectionFailed)
    assert failure.error_code == ErrorCodes.ENHANCE_YOUR_CALM


def test_opening_streams_only_to_reset_them_is_a_flood() -> None:
    pair = ConnectionPair(Limits(flood_burst=1_000))
    opened = 0
    while True:
        stream_id = pair.client.open(Request("/s/m"))
        pair.client.reset(stream_id, ErrorCodes.CANCEL)
        events = pair.to_server()
        if of_type(events, ConnectionFailed):
            break
        opened += 1
        assert opened < 2_000
    assert opened >= 900


def test_cancelling_calls_that_were_answered_is_no_flood() -> None:
    pair = ConnectionPair(Limits(flood_burst=10, flood_rate=0))
    for _ in range(1_000):
        stream_id = pair.open()
        pair.server.send_response(stream_id, Response())
        pair.to_client()
        pair.client.reset(stream_id, ErrorCodes.CANCEL)
        assert not of_type(pair.to_server(), ConnectionFailed)


def test_a_client_that_pings_too_often_gets_too_many_pings() -> None:
    pair = ConnectionPair(Limits(min_ping_interval=300))

    def ping(now: float) -> list[Event]:
        pair.client.ping(b"12345678")
        return list(pair.server.receive(pair.client.take_output(), now))

    for number in range(10):
        assert ping(number * 300) == []
    assert ping(2_710) == ping(2_720) == []
    (failure,) = ping(2_730)
    assert failure == ConnectionFailed(ErrorCodes.ENHANCE_YOUR_CALM, "too_many_pings")
    *_, goaway = frames(pair.server.take_output())
    assert isinstance(goaway, GoAwayFrame)
    assert goaway.additional_data == b"too_many_pings"


def test_pings_between_messages_of_ours_do_not_count() -> None:
    pair = ConnectionPair()
    stream_id = pair.open()
    pair.server.send_response(stream_id, Response())
    for number in range(100):
        pair.server.send_message(stream_id, encode_message(b"x"))
        pair.to_client()
        pair.client.ping(b"12345678")
        assert list(pair.server.receive(pair.client.take_output(), number / 10)) == []
