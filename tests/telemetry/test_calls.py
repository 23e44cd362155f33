"""Ended calls in their buckets, and traffic that never goes down, whenever it is read."""

from bisect import bisect_left

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echo.rpc import Status
from echo.telemetry.calls import Ended, Method, Traffic
from echo.telemetry.instrument import SECONDS, SIZES
from echo.wire import Stream, encode_message


def new_call() -> Stream:
    """A call, as far as it matters here."""
    return Stream(1, 2**30, 2**20, 2**20)


def record(ended: Ended, call: Stream, seconds: float = 0.1) -> None:
    incoming, outgoing = call.messages, call.unsent
    ended.record(seconds, incoming.messages, incoming.consumed, outgoing.messages, outgoing.taken)


def ended_with(received: int, sent: int, seconds: float = 0.01) -> Ended:
    call, ended = new_call(), Ended()
    if received:
        call.messages.feed(encode_message(bytes(received)))
        assert call.messages.next_message() == bytes(received)
    if sent:
        call.unsent.push(encode_message(bytes(sent)))
        call.unsent.take(sent + 5)
    record(ended, call, seconds)
    return ended


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 2048, 2049, 4096, 5000, 16_384, 70_000])
def test_sizes_are_in_the_bucket_whose_bound_they_do_not_exceed(size: int) -> None:
    ended = ended_with(size, 0)
    assert [place for place, count in enumerate(ended.received) if count] == [bisect_left(SIZES, size)]
    assert (ended.bytes_in, ended.messages_in, ended.bytes_out, ended.messages_out) == (size, int(size > 0), 0, 0)
    ended = ended_with(0, size)
    assert [place for place, count in enumerate(ended.sent) if count] == [bisect_left(SIZES, size)]
    assert (ended.bytes_in, ended.messages_in, ended.bytes_out, ended.messages_out) == (0, 0, size, int(size > 0))


@pytest.mark.parametrize("seconds", [0.0, 0.00001, 0.000011, 0.5, 0.51, 100.0, 101.0, 1e9])
def test_so_are_durations(seconds: float) -> None:
    ended = ended_with(0, 0, seconds)
    assert [place for place, count in enumerate(ended.durations) if count] == [bisect_left(SECONDS, seconds)]
    assert (ended.seconds, ended.count) == (seconds, 1)


CALLS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(SECONDS), st.floats(0, 200)),
        st.tuples(st.integers(0, 2), st.just(5_000), st.integers(0, 2), st.integers(10, 70_000)),
    ),
    min_size=1,
)


@given(CALLS)
@example([(0.0001, (1, 12, 1, 20))] * 3)
@example([(101.0, (0, 0, 0, 0)), (0.0, (0, 0, 0, 0))])
def test_calls_counted_together_count_as_each_by_itself(calls: list[tuple[float, tuple[int, int, int, int]]]) -> None:
    together, singly = Ended(), Ended()
    for seconds, sizes in calls:
        singly.record(seconds, *sizes)
    together.record_all(
        [seconds for seconds, _ in calls], [list(column) for column in zip(*(sizes for _, sizes in calls), strict=True)]
    )
    assert together.seconds == pytest.approx(singly.seconds)
    for name in ("durations", "sent", "received", "messages_in", "messages_out", "bytes_in", "bytes_out"):
        assert getattr(together, name) == getattr(singly, name)


def test_a_call_without_messages_counts_as_one_of_no_bytes() -> None:
    ended = Ended()
    ended.record(1.0, 0, 0, 0, 0)
    assert (ended.count, ended.sent[0], ended.received[0]) == (1, 1, 1)
    assert (ended.bytes_in, ended.bytes_out) == (0, 0)


def test_bytes_sent_do_not_go_down_when_the_rest_of_a_message_shows_that_some_were_its_prefix() -> None:
    call, method = new_call(), Method("m")
    call.unsent.push(encode_message(b""))
    shown = []
    for size in (3, 2):
        call.unsent.take(size)
        still_open = Traffic()
        still_open.add(call)
        shown.append(method.total_traffic(still_open).bytes_out)
    record(method.ok, call)
    shown.append(method.total_traffic(Traffic()).bytes_out)
    assert shown == sorted(shown)
    assert shown[0] == 3


def test_traffic_is_that_of_calls_of_every_status_and_of_open_ones() -> None:
    method = Method("m")
    for status in (Status.INTERNAL, Status.NOT_FOUND):
        call = new_call()
        call.messages.feed(encode_message(b"12"))
        call.messages.next_message()
        record(method.failures(status), call)
    assert dict.fromkeys(name for name, _ in method.ended()) == {"INTERNAL": None, "NOT_FOUND": None}
    still_open = Traffic()
    still_open.add(call)
    both = method.total_traffic(still_open)
    assert (both.bytes_in, both.messages_in, method.count) == (6, 3, 2)
