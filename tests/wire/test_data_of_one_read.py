"""DATA frames that arrive in one read are handled as one, where that changes nothing."""

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, RstStreamFrame

from echo.wire.limits import Limits
from tests.support.pair import ConnectionFailed, ConnectionPair, DataReceived, frames, of_type


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
