"""Packets as messages: any bytes at all, and the largest that there are."""

from hypothesis import given
from hypothesis import strategies as st

from echo.workers.channel import ParentChannel, WorkerChannel, channel_pair
from echo.workers.messages import MAX_MESSAGE, PART, FromWorker, Part


@given(data=st.binary(min_size=1, max_size=200))
def test_bytes_that_are_no_message_are_an_error_and_never_anything_else(data: bytes) -> None:
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
    largest = Part(2**63 - 1, b"\xff" * PART, last=False)
    assert worker.send_now(largest)
    assert parent.receive_now() == (largest, None)
    assert MAX_MESSAGE > PART
    parent.close()
    worker.close()
