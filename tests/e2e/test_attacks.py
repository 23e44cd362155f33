"""Attacks on the HTTP/2 server: a test for each, in hand-written HTTP/2 on a real socket.

Each looks at what the attacker gets, at what the attack could occupy, and at a neighbour's connection. The clock runs
as always, but tests may turn it forward: nobody waits for a deadline.
"""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import hpack
import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from echo.rpc import Limits
from echo.transport.link import STALL_CHECKS
from echo.transport.memory import memory_stream_pair
from echo.wire.message import encode_message
from tests.support.leaks import settles
from tests.support.pair import PREFACE, settings
from tests.support.quiet_clock import QuietClock, quiet
from tests.support.raw import SETTINGS, RawConnection, raw_client
from tests.support.streams import standing_still
from tests.support.target import HELLO, HOLD, POUR, POURED, request, target

MIB = 1024 * 1024
HI = encode_message(HELLO)
MANY = 5_000
LIMITS = Limits()


@pytest.fixture
def clock(mock_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """The test's clock: it runs by itself, and jumps when told to."""
    mock_clock.rate = 1.0
    return mock_clock


@contextmanager
def occupies_at_most(size: int) -> Iterator[None]:
    """What is allocated within the block, by whomever, never comes to more bytes than that at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= size
    finally:
        tracemalloc.stop()


# Resets: the client's own ("rapid reset", CVE-2023-44487), and ours that it provokes ("made you reset", CVE-2025-8671)

Attempt = Callable[[RawConnection, int], bytes]


def hold(client: RawConnection, stream_id: int, *, end: bool = False) -> bytes:
    return client.head(stream_id, request(HOLD), end=end)


def overflow(stream_id: int) -> bytes:
    return WindowUpdateFrame(stream_id, window_increment=2**31 - 1).serialize()


RESETS: dict[str, Attempt] = {
    "rapid reset": lambda client, stream: hold(client, stream) + RstStreamFrame(stream, error_code=8).serialize(),
    "DATA after END_STREAM": lambda client, stream: (
        hold(client, stream, end=True) + DataFrame(stream, data=b"x").serialize()
    ),
    "a window above 2^31": lambda client, stream: hold(client, stream) + overflow(stream) * 2,
    "HEADERS after END_STREAM": lambda client, stream: hold(client, stream, end=True) + hold(client, stream),
    "an increment of nothing": lambda client, stream: (
        hold(client, stream) + b"\x00\x00\x04\x08\x00" + stream.to_bytes(4, "big") + bytes(4)
    ),
    "a stream that depends on itself": lambda client, stream: (
        hold(client, stream) + PriorityFrame(stream, depends_on=stream).serialize()
    ),
    "more than the stream's window": lambda client, stream: (
        hold(client, stream) + DataFrame(stream, data=bytes(16_000)).serialize() * 5
    ),
}


@pytest.mark.parametrize("how", RESETS)
async def test_floods_of_resets_run_no_more_handlers_than_streams_and_end_the_connection(
    how: str, quiet_clock: QuietClock
) -> None:
    async with target() as victim, raw_client(victim.port) as client:
        for number in range(MANY):
            await client.send(RESETS[how](client, 2 * number + 1))
            assert victim.odd.running <= LIMITS.max_concurrent_streams
        goaway = await client.goaway()
        assert goaway.error_code in (
            ErrorCodes.ENHANCE_YOUR_CALM,
            ErrorCodes.PROTOCOL_ERROR,  # Where one such frame is the end of a connection anyway.
            ErrorCodes.FLOW_CONTROL_ERROR,
            ErrorCodes.STREAM_CLOSED,
        )
        assert victim.odd.most <= LIMITS.max_concurrent_streams
        await settles(lambda: victim.odd.running, 0, "handlers of streams that were reset")
        await victim.serves()


@pytest.mark.parametrize("how", ["DATA after END_STREAM", "a window above 2^31"])
async def test_a_reset_of_ours_cancels_the_handler_and_nothing_else(how: str) -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(hold(client, 1))
        await client.pause()
        await client.send(RESETS[how](client, 3))
        answer = await client.heard(3)
        assert answer.reset in (ErrorCodes.STREAM_CLOSED, ErrorCodes.FLOW_CONTROL_ERROR)
        await settles(lambda: victim.odd.running, 1, "handlers")
        await victim.serves()


async def test_the_101st_stream_is_refused_and_the_hundred_go_on() -> None:
    async with target() as victim, raw_client(victim.port) as client:
        streams = range(1, 2 * LIMITS.max_concurrent_streams, 2)
        await client.send(*(hold(client, stream) for stream in streams))
        await client.pause()
        assert client.settings[3] == len(streams)
        await settles(lambda: victim.odd.running, len(streams), "handlers")
        for surplus in range(201, 221, 2):
            await client.send(hold(client, surplus))
            answer = await client.heard(surplus)
            assert answer.reset == ErrorCodes.REFUSED_STREAM
            assert not answer.heads
        assert not any(client.streams[stream].over for stream in streams if stream in client.streams)
        assert victim.odd.running == len(streams)
        await client.send(RstStreamFrame(1, error_code=8))
        await client.pause()
        await client.send(client.head(221, request()), DataFrame(221, data=HI, flags=["END_STREAM"]))
        assert (await client.heard(221)).fields["grpc-status"] == "0"
        await victim.serves()


# Floods

FLOODS: dict[str, Callable[[int], Frame | bytes]] = {
    "PING": lambda number: PingFrame(0, opaque_data=b"%8d" % number),
    "SETTINGS": lambda number: SettingsFrame(0, settings={4: 65_535 + number % 2}),
    "PRIORITY": lambda number: PriorityFrame(2 * number + 1),
    "unknown frames": lambda _: b"\x00\x00\x00\xee\x00\x00\x00\x00\x00",
    "empty DATA": lambda _: DataFrame(1, data=b""),
    "DATA on a reset stream": lambda _: DataFrame(3, data=b"x" * 50),
}


@pytest.mark.parametrize("listens", [True, False], ids=["taking the answers", "taking none"])
@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_ends_its_connection_in_bounded_memory(kind: str, listens: bool) -> None:
    flood = b"".join(
        frame if isinstance(frame, bytes) else frame.serialize() for frame in map(FLOODS[kind], range(50_000))
    )
    limits = Limits(min_ping_interval=0)  # Or a few PINGs would be too many already.
    async with target(limits) as victim, raw_client(victim.port) as client:
        await client.send(hold(client, 1), hold(client, 3), RstStreamFrame(3, error_code=8))
        await client.pause()
        client.deaf = not listens
        with occupies_at_most(2 * MIB):
            await client.send(flood)
            await settles(lambda: victim.server.connections, 1, "connections besides the neighbour's")
        client.deaf = False
        goaway = await client.goaway()
        assert goaway.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        assert client.kinds.total() < 1_500
        await victim.serves()


async def test_requests_whose_answers_nobody_takes_end_the_connection_in_bounded_memory() -> None:
    """Each is answered on the spot, no stream stays open, no frame is out of order: only the answers pile up."""
    limits = Limits(max_header_list_size=1_024, max_output=16_384, max_concurrent_streams=10)
    ours, theirs = memory_stream_pair(0)  # Not even a socket's buffers take any.
    async with target(limits) as victim, ours, trio.open_nursery() as nursery:
        nursery.start_soon(victim.server.serve_connection, theirs)
        encoder = hpack.Encoder()
        with occupies_at_most(MIB):
            with pytest.raises(anyio.BrokenResourceError):
                await ours.send(PREFACE + SETTINGS)
                for stream in range(1, 10_001, 2):
                    block = encoder.encode(request(content_type="text/html"))
                    await ours.send(HeadersFrame(stream, data=block, flags=["END_HEADERS", "END_STREAM"]).serialize())
            await settles(lambda: victim.server.connections, 1, "connections besides the neighbour's")
        await victim.serves()


async def test_pings_for_no_reason_are_too_many_after_the_third() -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(hold(client, 1))
        for number in range(3):
            await client.send(PingFrame(0, opaque_data=b"%8d" % number))
        await client.until(lambda: client.kinds["Ping"] == 3)
        await client.send(PingFrame(0))
        goaway = await client.goaway()
        assert (goaway.error_code, goaway.additional_data) == (ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings")
        await victim.serves()


# What a peer makes us keep


async def test_thousands_of_invented_settings_and_a_huge_table_are_not_kept() -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.pause()
        with occupies_at_most(MIB):  # Kept, they would be several.
            for number in range(20):
                await client.send(settings(dict.fromkeys(range(1_000 + number, 60_000, 22), 7) | {1: 2**31}))
            await client.pause()
        await client.send(client.head(1, request()), DataFrame(1, data=HI, flags=["END_STREAM"]))
        assert (await client.heard(1)).fields["grpc-status"] == "0"  # By a table that is as small as ever.
        await victim.serves()


async def test_a_frame_of_16_mib_is_refused_by_its_header() -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(hold(client, 1))
        await client.pause()
        await client.send((2**24 - 1).to_bytes(3, "big") + b"\x00\x00" + (1).to_bytes(4, "big"))
        goaway = await client.goaway()
        assert goaway.error_code == ErrorCodes.FRAME_SIZE_ERROR
        await victim.serves()


# Peers that begin and do not go on


@pytest.mark.parametrize("begin", [b"", PREFACE[:10], PREFACE], ids=["nothing", "half a preface", "no SETTINGS"])
async def test_a_client_that_never_begins_gets_a_goaway(begin: bytes, clock: trio.testing.MockClock) -> None:
    async with target() as victim, raw_client(victim.port, begin=begin) as client:
        await quiet()
        assert not client.settings  # Who speaks HTTP/1 could not make head or tail of them.
        clock.jump(LIMITS.handshake_timeout + 0.1)
        goaway = await client.goaway()
        assert goaway.error_code == ErrorCodes.SETTINGS_TIMEOUT
        await victim.serves()


async def test_a_header_block_that_never_ends_is_the_end(clock: trio.testing.MockClock) -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(hold(client, 1), HeadersFrame(3, data=b"\x83"))
        for _ in range(5):
            clock.jump(LIMITS.handshake_timeout / 4)
            await client.send(ContinuationFrame(3, data=b""))  # A sign of life is no progress.
            await quiet()
        goaway = await client.goaway()
        assert goaway.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        await victim.serves()


@pytest.mark.parametrize(
    "said",
    [b"SSH-2.0-OpenSSH_9.6\r\n", b"PRI * HTTP/2.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ids=["SSH", "half HTTP/2", "TLS"],
)
async def test_other_protocols_are_turned_away(said: bytes) -> None:
    async with target() as victim, raw_client(victim.port, begin=said) as client:
        goaway = await client.goaway()
        assert goaway.error_code == ErrorCodes.PROTOCOL_ERROR
        assert not client.broken
        await victim.serves()


# Slow readers


async def test_a_window_never_opened_stops_the_handler_which_can_be_cancelled() -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(SettingsFrame(0, settings={4: 0}))
        with occupies_at_most(2 * MIB):
            await client.send(client.head(1, request(POUR)), DataFrame(1, data=HI, flags=["END_STREAM"]))
            await client.pause()
            await client.pause()
            poured = victim.odd.poured
            assert 0 < poured * POURED <= LIMITS.max_unsent + 2 * POURED
            assert client.streams[1].data == b""
        await victim.serves()
        assert victim.odd.poured == poured
        await client.send(RstStreamFrame(1, error_code=8))
        with trio.fail_after(30):
            await victim.odd.stopped.wait()


async def test_a_client_that_reads_nothing_at_all_is_disconnected_in_bounded_memory(
    clock: trio.testing.MockClock,
) -> None:
    async with target() as victim, raw_client(victim.port) as client:
        client.deaf = True
        wide = SettingsFrame(0, settings={4: 2**31 - 1}), WindowUpdateFrame(0, window_increment=2**31 - 1 - 65_535)
        calls = (
            client.head(stream, request(POUR)) + DataFrame(stream, data=HI, flags=["END_STREAM"]).serialize()
            for stream in range(1, 21, 2)
        )
        with occupies_at_most(10 * (LIMITS.max_unsent + 2 * POURED) + 4 * LIMITS.max_output + MIB):
            await client.send(*wide, *calls)
            await standing_still(lambda: victim.odd.poured)  # What the sockets hold is full.
        await victim.serves()
        for _ in range(2 * STALL_CHECKS):  # Each time it is looked whether anything was delivered.
            clock.jump(LIMITS.write_timeout / STALL_CHECKS)
            await trio.testing.wait_all_tasks_blocked(0.001)
        await settles(lambda: victim.server.connections, 1, "connections besides the neighbour's")
        assert victim.odd.stopped.is_set()
        client.deaf = False
