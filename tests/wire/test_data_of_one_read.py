"""DATA frames that arrive in one read are handled as one, where that changes nothing."""

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, RstStreamFrame, WindowUpdateFrame

from echo.wire.head import Request
from echo.wire.limits import Limits
from tests.support.pair import (
    ConnectionFailed,
    ConnectionPair,
    DataReceived,
    RequestStarted,
    StreamReset,
    frames,
    of_type,
)


@pytest.mark.parametrize("flags", [[], ["PADDED"], ["END_STREAM"], ["PADDED", "END_STREAM"]], ids="+".join)
def test_flags_are_those_of_their_own_frame(flags: list[str]) -> None:
    pair = ConnectionPair()
    stream_id = pair.open()
    first = DataFrame(stream_id, data=b"first", pad_length=3 if "PADDED" in flags else 0, flags=flags)
    events = pair.server.receive(first.serialize() + DataFrame(stream_id, data=b"second").serialize())
    came = b"".join(event.data for event in of_type(events, DataReceived))
    assert came == (b"first" if "END_STREAM" in flags else b"firstsecond")
    resets = [frame for frame in frames(pair.server.take_output()) if isinstance(frame, RstStreamFrame)]
    assert [reset.error_code for reset in resets] == [ErrorCodes.STREAM_CLOSED] * ("END_STREAM" in flags)


def test_empty_frames_are_no_less_useless_before_others() -> None:
    pair = ConnectionPair(Limits(flood_burst=10, flood_rate=0))
    stream_id = pair.open()
    frame, empty = (DataFrame(stream_id, data=data).serialize() for data in (b"x", b""))
    *_, failure = pair.server.receive((empty + frame) * 20)
    assert isinstance(failure, ConnectionFailed)
    assert failure.error_code == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_stream_accepts_exactly_its_window_in_many_small_frames() -> None:
    pair = ConnectionPair(Limits(stream_window=65_535))
    stream_id = pair.open()
    for size in [*[1_000] * 65, 535]:
        frame = DataFrame(stream_id, data=bytes(size)).serialize()
        assert pair.server.receive(frame) == [DataReceived(stream_id, bytes(size))]
    assert of_type(pair.server.receive(DataFrame(stream_id, data=b"x").serialize()), StreamReset)
    resets = [frame for frame in frames(pair.server.take_output()) if isinstance(frame, RstStreamFrame)]
    assert [reset.error_code for reset in resets] == [ErrorCodes.FLOW_CONTROL_ERROR]


def test_the_connection_s_window_is_reopened_for_many_small_frames() -> None:
    pair = ConnectionPair(Limits(connection_window=65_535, stream_window=200_000))
    stream_id = pair.open()
    pair.settle()
    came, opened = 0, 0
    for _ in range(150):
        came += len(pair.server.receive(DataFrame(stream_id, data=bytes(1_000)).serialize()))
        updates = [frame for frame in frames(pair.server.take_output()) if isinstance(frame, WindowUpdateFrame)]
        opened += sum(update.window_increment for update in updates if not update.stream_id)
        assert came * 1_000 - opened <= 65_535 // 2 + 1_000  # What the client may not send yet.
    assert came == 150


def test_no_message_comes_before_the_request_it_belongs_to() -> None:
    pair = ConnectionPair()
    old = pair.open()
    new = pair.client.open(Request("/s/m"))
    request = pair.client.take_output()
    first, second = (DataFrame(new, data=data).serialize() for data in (b"first", b"second"))
    before = DataFrame(old, data=b"x").serialize()
    pair.server.receive(before)
    between = DataFrame(old, data=b"y").serialize()
    events = pair.server.receive(before + request + first + between + second)
    assert [(type(event), getattr(event, "stream_id", None)) for event in events] == [
        (DataReceived, old),
        (RequestStarted, new),
        (DataReceived, new),
        (DataReceived, old),
        (DataReceived, new),
    ]
