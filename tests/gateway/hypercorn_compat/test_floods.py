"""Floods on one connection: others are served meanwhile, and the flood ends."""

import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio
from h2.errors import ErrorCodes
from hypothesis import given
from hypothesis import strategies as st

from echo.gateway.hypercorn_compat.floods import AT_ONCE, FrameBatches
from echo.wire import frames
from tests.gateway.hypercorn_compat.clients import connected, upgraded
from tests.gateway.hypercorn_compat.symptoms_floods import largest_share
from tests.support import frames as websocket
from tests.support.gateway import running_gateway
from tests.support.http2_frames import (
    CONTINUATION,
    DATA,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PREFACE,
    WINDOW_UPDATE,
    data,
    frame,
    ping,
    priority,
    rst_stream,
    settings,
    window_update,
)
from tests.support.quiet_clock import QuietClock, quiet
from tests.support.raw import Heard, RawConnection, raw_client

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/healthz")]


@contextmanager
def traced_memory() -> Iterator[Callable[[], int]]:
    """Gives a function that tells how much more memory Python has allocated than at the start of the block."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


UPLOAD = [
    *[(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/com.gopay.echo.Server/GetReply")],
    ("content-type", "application/grpc-web+proto"),
]
INVALID = b"x"
REPLY = 2 + len(
    '{"stream_id":"","sequence_number":0,"timestamp":0,"response":"invalid message format","success":false}'
)

USELESS: dict[str, Callable[[int], bytes]] = {
    "PING": lambda _: ping(b"12345678"),
    "SETTINGS": lambda number: settings((INITIAL_WINDOW_SIZE, 65_535 + number % 2)),
    "PRIORITY": lambda number: priority(2 * number + 3),
    "unknown frames": lambda _: frame(0xEE, 0, 0),
    "empty DATA": lambda _: data(1),
    "DATA on a stream that is over": lambda _: data(3, b"x"),
    "RST_STREAM on a stream that is over": lambda _: rst_stream(3),
}


async def begin(client: RawConnection) -> None:
    """An upload on stream 1, and stream 3, which is over."""
    await client.send(client.head(1, UPLOAD), client.head(3, UPLOAD), rst_stream(3))


@pytest.mark.parametrize("kind", USELESS)
async def test_a_flood_of_useless_frames_ends_its_connection(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        await begin(client)
        await client.send(*(USELESS[kind](number) for number in range(5_000)))
        goaway = await client.goaway()
        assert goaway.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        assert (await gateway.get("/healthz")).status == 200
    (line,) = (record.message for record in caplog.records if "useless frames" in record.message)
    assert re.fullmatch(r"127\.0\.0\.1:[0-9]+ sent too many useless frames: its HTTP/2 connection is closed", line)


@pytest.mark.parametrize("cut", [0, 1, 8])
async def test_a_frame_that_is_too_large_is_refused_at_its_head(cut: int, clock: QuietClock) -> None:
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        await begin(client)
        head = frame(DATA, 0, 1, length=frames.DEFAULT_FRAME_SIZE + 1)
        await client.send(ping(), head[:cut])
        await client.until(lambda: bool(client.kinds["Ping"]))  # What was sent has been read.
        await client.send(head[cut:])
        assert (await client.goaway()).error_code == ErrorCodes.FRAME_SIZE_ERROR
        assert (await gateway.get("/healthz")).status == 200


async def test_settings_that_nobody_knows_take_no_memory() -> None:
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        await client.pause()
        with traced_memory() as growth:
            for number in range(0x1000, 0x4000, 2_048):
                await client.send(settings(*((number + more, 1) for more in range(2_048))))
            await client.pause()
            assert growth() < 1_000_000  # Each took 700 bytes.


async def test_a_client_may_announce_a_huge_table_and_responses_use_a_small_one() -> None:
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        await client.send(settings((HEADER_TABLE_SIZE, 2**32 - 1)))
        await client.pause()
        await client.send(client.head(1, GET, end=True))
        assert (await client.heard(1)).fields[":status"] == "200"  # It was encoded for a table of 4 KiB.


async def test_a_frame_of_the_largest_size_is_taken() -> None:
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        await begin(client)
        await client.send(data(1, b"x" * frames.DEFAULT_FRAME_SIZE))
        await client.pause()
        assert not client.goaways


@pytest.mark.parametrize("kind", USELESS)
async def test_a_few_of_them_are_allowed_for_as_long_as_one_likes(kind: str, clock: QuietClock) -> None:
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        await begin(client)
        for number in range(1_500):
            await client.send(USELESS[kind](number))
            if number % 100 == 99:
                await trio.sleep(2)
        await client.pause()
        assert not client.goaways


async def test_requests_that_are_reset_at_once_end_their_connection(clock: QuietClock) -> None:
    # By the real clock a busy machine may be too slow to use up what a second allows.
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        stream_id = 1
        while not client.closed:
            await client.send(client.head(stream_id, UPLOAD), rst_stream(stream_id))
            stream_id += 2
        assert (await client.goaway()).error_code == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.slow
async def test_resets_of_requests_that_are_answered_are_free(clock: QuietClock) -> None:
    async with running_gateway() as gateway, raw_client(gateway.port) as client:
        for stream_id in range(1, 2_201, 2):
            await client.send(client.head(stream_id, [(":method", "POST"), *GET[1:]]))  # It is answered before it ends.
            await client.until(lambda: client.streams.get(stream_id, Heard()).ended)  # noqa: B023 - awaited here
            await client.send(rst_stream(stream_id), window_update(0, 100))
        await client.pause()
        assert not client.goaways


def test_the_empty_frame_that_ends_an_upload_is_free() -> None:
    batches = FrameBatches(lambda _: True, lambda _: True)
    list(batches.cut(PREFACE + data(1, end=True) * 5_000))
    assert not batches.flooded


async def test_other_connections_are_served_between_a_few_frames() -> None:
    async with running_gateway() as gateway, connected(gateway.port) as stream:
        await stream.send_all(PREFACE + settings())
        await stream.receive_some(1000)
        assert await largest_share(stream, ping(b"12345678") * 900, 900 * 17) < 0.1


@pytest.mark.parametrize(
    ("opcode", "payload", "answer"),
    [
        pytest.param(websocket.PING, b"", 2, id="pings"),
        pytest.param(websocket.TEXT, INVALID, REPLY, id="invalid messages"),
    ],
)
async def test_other_connections_are_served_between_a_few_websocket_frames(
    opcode: int, payload: bytes, answer: int
) -> None:
    async with running_gateway() as gateway, connected(gateway.port) as stream:
        await upgraded(stream, path="/ws/stream/bidirectional")
        await quiet()
        flood = websocket.frame(opcode, payload) * 1_000
        assert await largest_share(stream, flood, 1_000 * answer) < 0.5


async def test_pings_that_arrive_together_are_each_answered_in_order() -> None:
    pings = [b"%d" % number for number in range(200)]
    async with running_gateway() as gateway, connected(gateway.port) as stream:
        await upgraded(stream, path="/ws/stream/bidirectional")
        flood = b"".join(websocket.frame(websocket.PING, payload) for payload in pings)
        await stream.send_all(flood + websocket.close(1000))
        found = await websocket.hear(stream)
        assert found.pongs == pings
        assert found.code == 1000


# Batches


@given(
    st.lists(st.tuples(st.sampled_from([HEADERS, WINDOW_UPDATE, CONTINUATION]), st.integers(0, 40)), max_size=100),
    st.lists(st.integers(1, 200), min_size=1),
)
def test_batches_are_whole_frames_and_all_of_them(kinds: list[tuple[int, int]], sizes: list[int]) -> None:
    batches = FrameBatches(lambda _: True, lambda _: True)
    everything = PREFACE + b"".join(frame(kind, 0, 1, bytes(size)) for kind, size in kinds)
    at = 0
    found: list[list[bytes]] = []
    while at < len(everything):
        size = sizes[len(found) % len(sizes)]
        parts = list(batches.cut(everything[at : at + size]))
        assert b"".join(parts) == everything[at : at + size]
        found.append(parts)
        at += size
    ends = {len(PREFACE)}
    for _, size in kinds:
        ends.add(max(ends) + 9 + size)
    at = 0
    for parts in found:
        for part in parts[:-1]:
            at += len(part)
            assert at in ends
        at += len(parts[-1])


def test_a_batch_is_a_few_frames() -> None:
    batches = FrameBatches(lambda _: True, lambda _: True)
    parts = list(batches.cut(PREFACE + window_update(0, 1) * 100))
    assert max(len(part) for part in parts[1:]) == AT_ONCE * len(window_update(0, 1))
