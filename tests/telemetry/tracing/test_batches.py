"""The queue of spans: bounded, never waited for, and logged once each time that spans begin to be lost."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from echo.telemetry.tracing.batches import Batches, ExportError


def lines(spans: Sequence[bytes]) -> bytes:
    """Spans as bytes: a line for each."""
    return b"".join(span + b"\n" for span in spans)


class Sink:
    """Takes batches, when it may."""

    def __init__(self, *, closed: bool = False) -> None:
        self.batches: list[list[bytes]] = []
        self.taken = trio.Event()
        self.failure = ""
        self.refused: int | None = None
        self.open = trio.Event()
        if not closed:
            self.open.set()

    async def send(self, groups: Sequence[bytes]) -> None:
        await self.open.wait()
        if self.failure:
            raise ExportError(self.failure, self.refused)
        self.batches.append(b"".join(groups).splitlines())
        self.taken.set()


async def start_and_send(nursery: trio.Nursery, batches: Batches[bytes], spans: int) -> None:
    """Start to export, and wait until these spans are on their way."""
    nursery.start_soon(batches.run)
    for _ in range(spans):
        batches.put(b"on its way")
    await trio.testing.wait_all_tasks_blocked()


async def test_spans_leave_together_when_there_are_enough() -> None:
    sink = Sink()
    batches = Batches(sink.send, lines, most=10, batch=3, delay=3600)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batches.run)
        for number in range(4):
            batches.put(b"%d" % number)
        await trio.testing.wait_all_tasks_blocked()
        assert sink.batches == [[b"0", b"1", b"2"]]
        nursery.cancel_scope.cancel()


async def test_a_span_does_not_wait_for_others_forever(autojump_clock: trio.abc.Clock) -> None:
    sink = Sink()
    batches = Batches(sink.send, lines, most=10, batch=3, delay=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batches.run)
        for name in (b"first", b"second"):
            batches.put(name)
            await sink.taken.wait()
            sink.taken = trio.Event()
        assert trio.current_time() == 10
        nursery.cancel_scope.cancel()
    assert sink.batches == [[b"first"], [b"second"]]


async def test_what_a_collector_does_not_take_is_bounded_and_counted(
    autojump_clock: trio.abc.Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sink = Sink(closed=True)
    batches = Batches(sink.send, lines, most=10, batch=5, delay=1)
    async with trio.open_nursery() as nursery:
        await start_and_send(nursery, batches, 5)
        for _ in range(1_000):
            batches.put(b"span")
        assert batches.dropped == 990
        assert [record.getMessage() for record in caplog.records] == [
            "spans are dropped: the collector does not keep up"
        ]
        sink.open.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert list(map(len, sink.batches)) == [5, 5, 5]
    assert caplog.records[1].getMessage() == "the collector accepts spans again; 990 were dropped"


async def test_failures_are_told_of_once_and_hold_nothing_up(
    autojump_clock: trio.abc.Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Sink()
    sink.failure = "HTTP 400"
    batches = Batches(sink.send, lines, most=10, batch=1, delay=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batches.run)
        for _ in range(5):
            batches.put(b"span")
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert batches.dropped == 5
    assert [record.getMessage() for record in caplog.records] == ["spans are dropped: HTTP 400"]


async def test_only_the_spans_that_the_collector_refused_are_lost(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    sink = Sink()
    sink.failure, sink.refused = "over the quota", 2
    batches = Batches(sink.send, lines, most=10, batch=3, delay=3600)
    async with trio.open_nursery() as nursery:
        await start_and_send(nursery, batches, 3)
        assert batches.dropped == 2
        sink.failure = ""
        for _ in range(3):
            batches.put(b"span")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert caplog.messages == [
        "spans are dropped: over the quota",
        "the collector accepts spans again; 2 were dropped",
    ]


async def test_a_fault_of_ours_is_logged_and_ends_nothing(
    autojump_clock: trio.abc.Clock, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[bytes] = []

    async def send(groups: Sequence[bytes]) -> None:
        if not taken:
            taken.append(b"first")
            raise ZeroDivisionError
        taken.extend(groups)

    batches = Batches(send, lines, most=10, batch=1, delay=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batches.run)
        for name in (b"lost", b"kept"):
            batches.put(name)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert taken == [b"first", b"kept\n"]
    assert "spans could not be exported" in caplog.text


async def test_the_end_hands_over_what_waits_and_what_was_on_its_way(autojump_clock: trio.abc.Clock) -> None:
    sink = Sink(closed=True)
    batches = Batches(sink.send, lines, most=10, batch=2, delay=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batches.run)
        for number in range(5):
            batches.put(b"%d" % number)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    sink.open.set()
    await batches.flush()
    assert sink.batches == [[b"0", b"1"], [b"2", b"3"], [b"4"]]
    assert batches.dropped == 0


async def test_an_end_that_takes_too_long_says_what_is_lost(
    autojump_clock: trio.abc.Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Sink(closed=True)
    batches = Batches(sink.send, lines, most=10, batch=2, delay=1)
    for _ in range(5):
        batches.put(b"span")
    with trio.move_on_after(2) as scope:
        await batches.flush()
    assert scope.cancelled_caught
    assert batches.dropped == 5
    assert "5 spans were dropped in all" in caplog.text


async def test_a_span_that_ends_after_the_export_was_cut_short_is_counted_once(autojump_clock: trio.abc.Clock) -> None:
    sink = Sink(closed=True)
    batches = Batches(sink.send, lines, most=10, batch=5, delay=1)
    async with trio.open_nursery() as nursery:
        await start_and_send(nursery, batches, 5)
        for _ in range(10):
            batches.put(b"queued")
        nursery.cancel_scope.cancel()
    batches.put(b"late")  # Those on their way are in the queue again, which is more than full.
    assert batches.dropped == 1
