"""Packets as messages: arbitrary bytes, and the largest message."""

from hypothesis import given
from hypothesis import strategies as st

from echo.workers.channel import ParentChannel, WorkerChannel, channel_pair
from echo.workers.messages import MAX_MESSAGE, PART_SIZE, AnswerPart, FromWorker


@given(data=st.binary(min_size=1, max_size=200))
def test_any_bytes_are_either_a_message_or_a_value_error(data: bytes) -> None:
    ours, theirs = channel_pair()
    parent = ParentChannel(ours, theirs)
    try:
        theirs.send(data)
        try:
            received = parent.receive_now()
        except ValueError:
            return
        assert received is not None
        assert isinstance(received[0], FromWorker)
    finally:
        parent.close()


def test_the_largest_message_fits() -> None:
    ours, theirs = channel_pair()
    parent, worker = ParentChannel(ours, theirs.dup()), WorkerChannel(theirs)
    largest = AnswerPart(2**63 - 1, b"\xff" * PART_SIZE, last=False)
    assert worker.send_now(largest)
    assert parent.receive_now() == (largest, None)
    assert MAX_MESSAGE > PART_SIZE
    parent.close()
    worker.close()
