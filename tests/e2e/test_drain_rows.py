"""A graceful drain, step by step, with a client that answers PINGs only when a test says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame

from echo.rpc import GRPCError, Status
from echo.wire.message import encode_message
from tests.support.leaks import settles
from tests.support.raw import RawConnection, raw_client
from tests.support.target import BIDIRECTIONAL, HELLO, HOLD, Target, drained_target, request

HI = encode_message(HELLO)
GRACE = 60.0
LAST = 2**31 - 1


@pytest.fixture
def clock(mock_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """The test's clock: it runs by itself, and jumps when told to."""
    mock_clock.rate = 1.0
    return mock_clock


@asynccontextmanager
async def draining() -> AsyncIterator[tuple[Target, RawConnection]]:
    """A server that has begun to drain, and a client with an open stream, 1, that has heard so."""
    async with drained_target() as victim, raw_client(victim.port) as client, trio.open_nursery() as nursery:
        await client.send(client.head(1, request(BIDIRECTIONAL)), DataFrame(1, data=HI))
        await client.until(lambda: 1 in client.streams and client.streams[1].data)
        nursery.start_soon(victim.server.drain, GRACE)
        await client.until(lambda: client.kinds["Ping"])
        yield victim, client


async def acknowledge(client: RawConnection) -> None:
    await client.send(PingFrame(0, opaque_data=client.pings[-1], flags=["ACK"]))
    await client.until(lambda: len(client.goaways) == 2)


async def test_the_first_goaway_names_no_stream_the_second_the_last_that_came(clock: trio.testing.MockClock) -> None:
    async with draining() as (victim, client):
        assert [goaway.last_stream_id for goaway in client.goaways] == [LAST]
        # Sent before the client could know: it is served.
        await client.send(client.head(3, request()), DataFrame(3, data=HI, flags=["END_STREAM"]))
        assert (await client.heard(3)).fields["grpc-status"] == "0"
        await acknowledge(client)
        assert [goaway.last_stream_id for goaway in client.goaways] == [LAST, 3]
        assert {goaway.error_code for goaway in client.goaways} == {ErrorCodes.NO_ERROR}
        # Sent although the client knows of the drain: it is refused, and may be retried elsewhere.
        await client.send(client.head(5, request()), DataFrame(5, data=HI, flags=["END_STREAM"]))
        assert (await client.heard(5)).reset == ErrorCodes.REFUSED_STREAM
        # The one that runs goes on, and the connection ends with it.
        await client.send(DataFrame(1, data=HI, flags=["END_STREAM"]))
        assert (await client.heard(1)).fields["grpc-status"] == "0"
        await client.until_closed()
        await client.close()
        await settles(lambda: victim.server.connections, 0, "connections")
        assert trio.current_time() < GRACE


@pytest.mark.parametrize("answers", [True, False], ids=["PING answered", "PING never answered"])
async def test_after_the_grace_the_rest_is_told_unavailable(answers: bool, clock: trio.testing.MockClock) -> None:
    async with draining() as (victim, client):
        await client.send(client.head(3, request(HOLD)))
        await client.pause()
        if answers:
            await acknowledge(client)
        clock.jump(GRACE)
        for stream in (1, 3):
            answer = await client.heard(stream)
            assert answer.fields["grpc-status"] == str(Status.UNAVAILABLE.value)
            assert answer.ended
        await client.until_closed()
        assert victim.odd.running == victim.server.calls == 0


async def test_a_client_s_goaway_lets_its_calls_go_on(clock: trio.testing.MockClock) -> None:
    async with draining() as (_, client):
        await client.send(GoAwayFrame(0), DataFrame(1, data=HI, flags=["END_STREAM"]))
        answer = await client.heard(1)
        assert answer.fields["grpc-status"] == "0"
        assert answer.data.count(b"from server: ") == 2
        await acknowledge(client)
        await client.until_closed()


async def test_no_connection_is_taken_while_others_are_finished(clock: trio.testing.MockClock) -> None:
    async with draining() as (victim, client):
        with pytest.raises((OSError, GRPCError)):
            await trio.open_tcp_stream("127.0.0.1", victim.port)
        await client.send(DataFrame(1, data=HI, flags=["END_STREAM"]))
        await client.heard(1)
        await acknowledge(client)
        await client.until_closed()
