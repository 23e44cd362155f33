"""Peers that are slow but alive, on real sockets: they are waited for, and the call succeeds.

The clock runs as always, but tests turn it forward: what takes minutes for a user takes none here.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from echo.rpc import Server, open_channel
from echo.wire.message import encode_message
from tests.support.hostile import (
    BEGIN,
    KIB,
    REPLY,
    WIDE,
    Throttle,
    hostile_server,
    silence,
    throttled_client,
)
from tests.support.http2_frames import (
    INITIAL_WINDOW_SIZE,
    PREFACE,
    SETTINGS_ACK,
    data,
    rst_stream,
    settings,
    window_update,
)
from tests.support.leaks import no_leaks, settles
from tests.support.raw import PATIENCE, Heard, raw_client
from tests.support.services import BIDI, BytesCodec, call, unary
from tests.support.serving import LOOPBACK
from tests.support.target import HELLO, POUR, POURED, Odd, request, target
from tests.support.tls import Certificates, serving_tls

CODEC = BytesCodec()
HI = encode_message(HELLO)
SHUT = settings((INITIAL_WINDOW_SIZE, 0)) + SETTINGS_ACK


@pytest.fixture
def clock(mock_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """The test's clock: it runs by itself, and jumps when told to."""
    mock_clock.rate = 1.0
    return mock_clock


async def at_rest() -> None:
    """Wait until all that can be done now is done."""
    await trio.testing.wait_all_tasks_blocked(0.005)


async def filled(sent: Callable[[], int]) -> None:
    """Wait until a sender stalls because the sockets' buffers are full."""
    before = -1
    while before != sent():
        before = sent()
        await trio.testing.wait_all_tasks_blocked(0.05)


def grown(heard: Heard, before: int) -> bool:
    """One more byte has come, or all has."""
    assert len(heard.data) <= before + 1
    return len(heard.data) > before or heard.over


async def reads_slowly(throttle: Throttle, clock: trio.testing.MockClock, *, seconds: int) -> None:
    """Let the throttled side read 8 KiB a second for so long."""
    for _ in range(seconds):
        throttle.allow(8 * KIB)
        await settles(lambda: throttle.allowed, 0, "bytes still to be read")
        await at_rest()
        clock.jump(1.0)
        await at_rest()


async def test_a_client_that_reads_8_kib_a_second_is_served_on(clock: trio.testing.MockClock) -> None:
    async with target() as victim, throttled_client(victim.port, begin=PREFACE + WIDE) as (client, throttle):
        await client.until(lambda: client.settings)
        throttle.allow(0)
        await client.send(client.head(1, request(POUR)), data(1, HI, end=True))
        await filled(lambda: victim.odd.poured)
        poured = victim.odd.poured
        await reads_slowly(throttle, clock, seconds=90)
        assert not client.closed
        assert not client.goaways
        await victim.serves()
        throttle.allow(None)
        await client.until(lambda: len(client.streams[1].data) > (poured + 100) * POURED)
        await client.send(rst_stream(1))


async def test_over_tls_it_is_served_on_as_well(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    odd = Odd()
    server = Server([odd])
    async with (
        no_leaks() as leaks,
        serving_tls(server, certificates.serving()) as port,
        throttled_client(port, begin=PREFACE + WIDE, tls=certificates.calling()) as (client, throttle),
    ):
        leaks.watch(server)
        await client.until(lambda: client.settings)
        throttle.allow(0)
        await client.send(client.head(1, request(POUR)), data(1, HI, end=True))
        await filled(lambda: odd.poured)
        poured = odd.poured
        await reads_slowly(throttle, clock, seconds=90)
        throttle.allow(None)
        await client.until(lambda: len(client.streams[1].data) > (poured + 100) * POURED)
        assert not client.goaways
        await client.send(rst_stream(1))
        await settles(lambda: server.calls, 0, "open calls")


async def test_a_server_that_reads_8_kib_a_second_gets_it_all(clock: trio.testing.MockClock) -> None:
    async with (
        no_leaks() as leaks,
        hostile_server(silence, begin=WIDE) as server,
        open_channel(LOOPBACK, server.port, codec=CODEC) as channel,
    ):
        leaks.watch(channel)
        sent = 0
        received: list[bytes] = []

        async def upload() -> None:
            nonlocal sent
            async with call(channel, "Odd", BIDI) as stream:
                for number in range(100):
                    await stream.send_message(bytes(64 * KIB), end=number == 99)
                    sent += 1
                received.extend([message async for message in stream])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(upload)
            await server.connected.wait()
            throttle = server.throttle
            assert throttle is not None
            throttle.allow(0)
            await filled(lambda: sent)
            assert sent < 100
            await reads_slowly(throttle, clock, seconds=90)
            throttle.allow(None)
        assert received == [REPLY]
        assert server.connections == 1


async def test_a_client_that_opens_its_window_byte_by_byte_gets_its_reply(clock: trio.testing.MockClock) -> None:
    async with target() as victim, raw_client(victim.port, begin=PREFACE + SHUT) as client:
        await client.send(client.head(1, request()), data(1, HI, end=True))
        await client.until(lambda: client.streams.get(1) and client.streams[1].heads)
        heard = client.streams[1]
        while not heard.over:
            before = len(heard.data)
            await client.send(window_update(1, 1))
            await client.until(partial(grown, heard, before))
            clock.jump(5.0)
        assert heard.fields["grpc-status"] == "0"
        assert heard.data.endswith(b"from server:hi")
        await victim.serves()


async def test_a_server_that_opens_its_window_byte_by_byte_gets_the_request(clock: trio.testing.MockClock) -> None:
    async with (
        no_leaks() as leaks,
        hostile_server(silence, begin=SHUT) as server,
        open_channel(LOOPBACK, server.port, codec=CODEC) as channel,
    ):
        leaks.watch(channel)

        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def caller() -> None:
                assert await unary(channel, "Odd", b"hello, slow world") == REPLY

            await server.connected.wait()
            peer = server.first
            assert peer is not None
            await peer.until(lambda: 1 in peer.streams)
            heard = peer.streams[1]
            while not heard.ended:
                before = len(heard.data)
                await peer.send(window_update(1, 1))
                await peer.until(partial(grown, heard, before))
                clock.jump(5.0)
            assert heard.data.endswith(b"hello, slow world")
        assert server.connections == 1


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_a_server_that_dribbles_one_byte_at_a_time_is_understood(kind: str) -> None:
    async with (
        no_leaks() as leaks,
        hostile_server(silence, dribble=True) as server,
        open_channel(LOOPBACK, server.port, codec=CODEC) as channel,
    ):
        leaks.watch(channel)
        for _ in range(3):
            if kind == "unary":
                assert await unary(channel, "Odd", timeout=PATIENCE) == REPLY
            else:
                async with call(channel, "Odd", BIDI, timeout=PATIENCE) as stream:
                    await stream.send_message(b"", end=True)
                    assert [message async for message in stream] == [REPLY]
        assert server.connections == 1


async def test_a_client_that_dribbles_one_byte_at_a_time_is_understood(clock: trio.testing.MockClock) -> None:
    async with target() as victim, raw_client(victim.port, begin=b"") as client:
        said = PREFACE + BEGIN + client.head(1, request())
        for byte in said:
            await client.send(bytes([byte]))
        await client.pause()
        for byte in data(1, HI, end=True):  # A message may take as long as it likes.
            await client.send(bytes([byte]))
            await at_rest()
            clock.jump(5.0)
        assert (await client.heard(1)).fields["grpc-status"] == "0"
        await victim.serves()


async def test_a_message_in_frames_of_a_byte_each_is_put_together() -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(client.head(1, request()))
        await client.send(*(data(1, bytes([byte])) for byte in HI), data(1, end=True))
        assert (await client.heard(1)).fields["grpc-status"] == "0"
        await victim.serves()


async def test_a_client_that_pauses_within_a_frame_is_waited_for(clock: trio.testing.MockClock) -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(client.head(1, request()))
        last = data(1, HI, end=True)
        await client.send(last[:12])
        await at_rest()
        clock.jump(60.0)
        await at_rest()
        await client.send(last[12:])
        assert (await client.heard(1)).fields["grpc-status"] == "0"
        await victim.serves()


async def test_a_client_with_a_window_of_seven_bytes_gets_the_whole_reply() -> None:
    begin = PREFACE + settings((INITIAL_WINDOW_SIZE, 7)) + SETTINGS_ACK
    async with target() as victim, raw_client(victim.port, begin=begin) as client:
        await client.send(client.head(1, request()), data(1, HI, end=True))
        for _ in range(10):
            await client.pause()
            await client.send(window_update(1, 7))
        assert (await client.heard(1)).data.endswith(b"from server:hi")
        await victim.serves()
