"""The record of closed streams, and how long it is kept."""

from h2.errors import ErrorCodes
from hyperframe.frame import RstStreamFrame

from echo.wire.closed import MAX_ENDED, MAX_LATE, ClosedStreams
from echo.wire.head import Response
from echo.wire.limits import Limits
from tests.support.pair import ConnectionFailed, ConnectionPair


def test_a_stream_we_reset_may_receive_late_data_up_to_its_window() -> None:
    closed = ClosedStreams()
    closed.add(1, 100, reset=True)
    assert closed.receive(1, 60)
    assert not closed.receive(1, 41)
    assert closed.receive(1, 40)
    assert not closed.receive(1, 1)


def test_after_the_peer_s_end_nothing_is_late() -> None:
    closed = ClosedStreams()
    closed.add(1, 100, reset=True)
    closed.end(1)
    assert not closed.expects(1)
    assert closed.ended_by_peer(1)
    assert not closed.receive(1, 1)


def test_one_reset_may_cross_ours_but_not_two() -> None:
    closed = ClosedStreams()
    closed.add(1, 100, reset=True)
    closed.add(3, 100, reset=False)
    assert [closed.reset(1), closed.reset(1), closed.reset(1)] == [True, True, False]
    assert [closed.reset(3), closed.reset(3)] == [True, False]
    assert not closed.reset(5)


def test_only_the_last_are_remembered() -> None:
    closed = ClosedStreams()
    for number in range(5_000):
        closed.add(4 * number + 1, 10, reset=True)
        closed.add(4 * number + 3, 10, reset=False)
        assert len(closed._late) + len(closed._ended) <= MAX_LATE + MAX_ENDED
    last = 4 * 4_999 + 1
    assert closed.expects(last)
    assert closed.expects(last - 4 * (MAX_LATE - 1))
    assert not closed.expects(last - 4 * MAX_LATE)
    assert closed.ended_by_peer(last + 2)
    assert not closed.ended_by_peer(last + 2 - 4 * MAX_ENDED)


def test_resets_that_cross_ours_are_no_flood_but_more_of_them_are() -> None:
    pair = ConnectionPair(Limits(flood_burst=10, flood_rate=0))
    for _ in range(50):
        stream_id = pair.open()
        pair.server.send_response(stream_id, Response())
        pair.server.reset(stream_id, ErrorCodes.CANCEL)
        crossing = RstStreamFrame(stream_id, error_code=ErrorCodes.CANCEL).serialize()
        assert not list(pair.server.receive(crossing))
        pair.to_client()
    *_, failure = pair.server.receive(crossing * 13)
    assert isinstance(failure, ConnectionFailed)
    assert failure.error_code == ErrorCodes.ENHANCE_YOUR_CALM
