"""The smaller parts by themselves: containment, messages out of frames, pings, and the inbox and buffer of a stream."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from hypercorn.config import Config
from hypercorn.events import Event, RawData
from hypercorn.trio.worker_context import WorkerContext
from wsproto.frame_protocol import Frame, Opcode

from echo.gateway.hypercorn_compat import PATIENCE, install
from echo.gateway.hypercorn_compat.endings import Idleness
from echo.gateway.hypercorn_compat.inbox import Inbox
from echo.gateway.hypercorn_compat.incoming import Incoming
from echo.gateway.hypercorn_compat.protocols import Protocols
from echo.gateway.hypercorn_compat.send_buffer import SendBuffer
from tests.gateway.hypercorn_compat.clients import answered, connected, get, heard, upgraded
from tests.gateway.hypercorn_compat.in_process import FOR_EVER, Receive, Scope, Send, accept, hello, serving, until_left
from tests.support.frames import TEXT, frame
from tests.support.quiet_clock import QuietClock, quiet


async def test_a_fault_that_nobody_foresaw_ends_its_own_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Protocols.handle

    async def fail(self: Protocols, event: Event) -> None:
        if isinstance(event, RawData) and b"trouble" in event.data:
            raise RuntimeError
        await handle(self, event)

    monkeypatch.setattr(Protocols, "handle", fail)
    install()
    async with serving(hello) as running, connected(running.port) as bystander:
        await upgraded(bystander)
        for _ in range(3):
            assert await answered(running.port, get("X: trouble")) == (b"", True)
            await bystander.send_all(frame(TEXT, b"hello"))
            assert await bystander.receive_some() == b"\x81\x05hello"
        assert not running.ended.is_set()


# Messages out of frames


def part(text: str, *, finished: bool = False) -> Frame:
    return Frame(Opcode.TEXT, text, True, finished)


def test_messages_are_put_together_and_given_once() -> None:
    incoming = Incoming(100)
    for frame_ in (
        part("a"),
        part(""),
        part("é", finished=True),
        part("whole", finished=True),
        part("", finished=True),
    ):
        assert incoming.add(frame_)
    assert incoming.add(Frame(Opcode.BINARY, b"\x00", True, False))
    assert incoming.take() == ["aé", "whole", ""]
    assert incoming.add(Frame(Opcode.BINARY, b"\x01", True, True))
    assert incoming.take() == [b"\x00\x01"]
    assert incoming.take() == []


@pytest.mark.parametrize("texts", [["é" * 6], ["é" * 5, "x"], ["", "x" * 10, "", "x"]])
def test_the_limit_is_in_bytes_over_all_frames(texts: list[str]) -> None:
    incoming = Incoming(10)
    assert [incoming.add(part(text)) for text in texts] == [True] * (len(texts) - 1) + [False]
    assert incoming.too_big
    assert incoming.add(part("and on", finished=True))  # Of no message any more.
    assert incoming.take() == []


@contextmanager
def takes_at_most(size: int) -> Iterator[None]:
    """Of memory, while the block runs."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["", "xy"])
def test_many_fragments_take_the_memory_of_their_bytes(text: str) -> None:
    incoming, count = Incoming(1_000_000), 20_000
    with takes_at_most(3 * count * len(text) + 10_000):
        for _ in range(count):
            incoming.add(part("".join(text)))


# Pings


@pytest.mark.parametrize("patient", [True, False])
async def test_without_an_interval_nobody_is_pinged_or_missed(patient: bool, clock: QuietClock) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await accept(send, ping_interval=float("inf") if patient else 20)
        await until_left(receive)

    install()
    async with serving(app) as running, connected(running.port) as stream:
        await upgraded(stream)
        assert await heard(stream, seconds=FOR_EVER) == ((b"", False) if patient else (b"\x89\x00" * 2, True))


# Idleness


async def test_a_connection_that_is_idle_twice_in_a_row_is_closed_once_and_late(clock: QuietClock) -> None:
    closed: list[float] = []

    async def close() -> None:
        closed.append(trio.current_time())

    config = Config()
    config.keep_alive_timeout = 100
    async with trio.open_nursery() as nursery:
        idleness = Idleness(nursery, config, WorkerContext(None), close)
        idleness.begin(served=False)
        await trio.sleep(1)
        idleness.begin(served=True)
    assert closed == [pytest.approx(101, abs=0.1)]


# One stream of HTTP/2


async def test_an_inbox_gives_all_there_is_and_then_the_end() -> None:
    inbox = Inbox()
    inbox.put(b"ab", 5)
    inbox.put(b"c", 1)
    assert await inbox.get() == (b"abc", 6)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.finished)
        inbox.put(b"d", 1)
        inbox.end()
        assert await inbox.get() == (b"d", 1)
        assert await inbox.get() is None


async def test_a_dropped_inbox_has_nothing_more() -> None:
    inbox = Inbox()
    inbox.put(b"x", 1)
    inbox.drop()
    assert await inbox.get() is None


async def test_each_who_pushes_waits_until_there_is_room(clock: QuietClock) -> None:
    buffer, pushed = SendBuffer(), 0

    async def push() -> None:
        nonlocal pushed
        await buffer.push(bytes(40_000))
        pushed += 1

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(push)
        for _ in range(7):
            await trio.sleep(PATIENCE * 0.9)
            assert pushed == 0
            await buffer.pop(15_000)
        await trio.sleep(1)
        assert pushed == 3


@pytest.mark.parametrize("ended", [False, True])
async def test_a_call_that_waits_for_a_window_that_stays_shut_gets_a_reason(ended: bool, clock: QuietClock) -> None:
    buffer = SendBuffer()
    if ended:
        await buffer.push(b"x")
        buffer.set_complete()
    with pytest.raises(trio.TooSlowError):
        await (buffer.drain() if ended else buffer.push(bytes(40_000)))
    assert trio.current_time() == PATIENCE


async def test_a_window_that_was_opened_while_the_process_was_stopped_is_looked_at(clock: QuietClock) -> None:
    clock.jumping = False
    buffer = SendBuffer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(buffer.push, bytes(40_000))
        await quiet()
        clock.jump(2 * PATIENCE)
        await quiet()
        await buffer.pop(40_000)
