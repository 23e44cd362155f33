"""From each cause of a call's early end to each of its effects: client, server and a line between them, over real TCP.

Each cause meets a handler that waits to receive, to send (its client takes nothing), or for something else (its client
may then be one that waits to send), in each of the four call types. What counts is that the handler was cancelled where
it waited, what the client got, that both sides go on serving, and that nothing is left over.

The clock runs as always, but tests may turn it forward: nobody waits for a deadline.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import product

import anyio
import pytest
import trio
import trio.testing
from multidict import MultiDict

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Keepalive, Limits, Status
from echo.transport.client import ClientSession
from echo.wire.head import Request
from tests.support.leaks import settles
from tests.support.quiet_clock import quiet
from tests.support.recording import BUG, PATHS, RECEIVING, SENDING, SLEEPING, TOO_MUCH, WAIT, Seen
from tests.support.serving import LOOPBACK
from tests.support.world import (
    BIDI,
    CANCELLED,
    FAILED,
    GRACE,
    LEFT,
    POURED_ON,
    TIMEOUT,
    UNARY,
    Caller,
    Outcome,
    World,
    a_world,
)

KEEPALIVE = Keepalive(time=30.0, timeout=20.0)


@pytest.fixture
def clock(mock_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """The test's clock: it runs by itself, and jumps when told to."""
    mock_clock.rate = 1.0
    return mock_clock


@dataclass(frozen=True)
class Cause:
    """Why calls end early, and what their callers get.

    Attributes:
        name: In the tests' names.
        act: Brings it about.
        outcome: What the caller sees.
        crash: What to ask of the handler beforehand.
        serves_on: Whether the channel can be used for another call afterwards.
    """

    name: str
    act: Callable[[World, Caller, Seen, trio.testing.MockClock], Awaitable[None]]
    outcome: Outcome
    crash: str | None = None
    serves_on: bool = True


async def cancel_the_call(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    await caller.stream.cancel()


async def leave_the_block(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    caller.leave()


async def fail_in_the_block(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    caller.fail()


async def cancel_the_scope(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    caller.scope.cancel()


async def close_the_channel(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    world.close_channel.set()


async def pass_the_deadline(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    clock.jump(TIMEOUT)


async def pass_the_deadline_unheard(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    world.relay.hold()
    clock.jump(TIMEOUT)
    with trio.fail_after(20):
        await seen.ended.wait()  # With no word of the client's.
    world.relay.release()


async def reset_the_connection(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    world.relay.reset()


async def finish_the_connection(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    world.relay.finish()


async def drain_beyond_the_grace(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    world.nursery.start_soon(world.drain)
    await quiet()
    assert not seen.ended.is_set()
    clock.rate = 0.0  # All that follows takes no time; least of all does it wait for handlers that ignore it.
    clock.jump(GRACE)
    await settles(world.drained.is_set, True, "drained")
    clock.rate = 1.0


async def cancel_the_server(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    world.serving.cancel()


async def crash_the_handler(world: World, caller: Caller, seen: Seen, clock: trio.testing.MockClock) -> None:
    seen.crash.set()
    with trio.fail_after(20):
        await seen.ended.wait()
    caller.read()


CAUSES = [
    Cause("the client cancels the call", cancel_the_call, Status.CANCELLED),
    Cause("the client leaves the block", leave_the_block, LEFT),
    Cause("the client fails in the block", fail_in_the_block, FAILED),
    Cause("the client's scope is cancelled", cancel_the_scope, CANCELLED),
    Cause("the client closes its channel", close_the_channel, Status.UNAVAILABLE, serves_on=False),
    Cause("the deadline passes", pass_the_deadline, Status.DEADLINE_EXCEEDED),
    Cause("the deadline passes unheard", pass_the_deadline_unheard, Status.DEADLINE_EXCEEDED),
    Cause("the connection is reset", reset_the_connection, Status.UNAVAILABLE),
    Cause("the connection is finished", finish_the_connection, Status.UNAVAILABLE),
    Cause("the server drains beyond the grace", drain_beyond_the_grace, Status.UNAVAILABLE, serves_on=False),
    Cause("the server is cancelled", cancel_the_server, Status.UNAVAILABLE, serves_on=False),
    Cause("a task of the handler's has a bug", crash_the_handler, Status.INTERNAL, crash=BUG),
    Cause("a task of the handler's gives a status", crash_the_handler, Status.ABORTED, crash="ABORTED"),
]


def makes_sense(cause: Cause, where: str, kind: Cardinality) -> bool:
    if where == POURED_ON:
        return bool(kind.client_streaming)
    if cause.act is leave_the_block and kind is UNARY:
        return where == RECEIVING  # After its one message, leaving the block waits for the status, as with grpclib.
    return True


CASES = [case for case in product(CAUSES, (RECEIVING, SENDING, SLEEPING, POURED_ON), Cardinality) if makes_sense(*case)]


@pytest.mark.parametrize(
    ("cause", "where", "kind"),
    CASES,
    ids=[f"{cause.name}-{where}-{kind.name.lower()}".replace(" ", "_") for cause, where, kind in CASES],
)
async def test_the_handler_is_cancelled_where_it_waits(
    cause: Cause, where: str, kind: Cardinality, clock: trio.testing.MockClock
) -> None:
    async with a_world() as world:
        caller, seen = await world.call(kind, where, cause.crash)
        assert (world.server.calls, world.channel.calls) == (1, 1)
        assert not seen.ended.is_set()
        await cause.act(world, caller, seen, clock)
        with trio.fail_after(20):
            await seen.ended.wait()
            await caller.done.wait()
        assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"
        assert caller.outcome == cause.outcome
        await world.leaks.no_calls()
        if cause.serves_on:
            assert await world.echo("still there?") == "still there?"


@pytest.mark.parametrize("kind", list(Cardinality), ids=lambda kind: kind.name.lower())
@pytest.mark.parametrize("where", [RECEIVING, SENDING, SLEEPING])
async def test_a_client_that_minds_no_deadline_is_told_by_the_server(
    where: str, kind: Cardinality, clock: trio.testing.MockClock
) -> None:
    async with a_world() as world:
        session = ClientSession(await anyio.connect_tcp(LOOPBACK, world.relay.port), Limits(), None)
        world.nursery.start_soon(session.run)
        await session.ready.wait()
        request = Request(PATHS[kind], timeout=TIMEOUT, metadata=MultiDict({WAIT: where}))
        call = await session.open(request, math.inf)
        assert call is not None
        session.flush_soon()
        if where != RECEIVING or kind.client_streaming:
            await call.send_message(b"")
        if where != RECEIVING and not kind.client_streaming:
            await call.half_close()
        seen = await world.recorder.calls.next()
        with trio.fail_after(20):
            await seen.waiting.wait()
        assert TIMEOUT - 5 < seen.time_remaining <= TIMEOUT
        clock.jump(TIMEOUT)
        with trio.fail_after(20):
            trailers = await call.receive_trailers()
            await seen.ended.wait()
        assert trailers.status is Status.DEADLINE_EXCEEDED
        assert seen.cancelled.is_set()
        await world.leaks.no_calls()
        session.stop("the test is over")


@pytest.mark.parametrize("where", [RECEIVING, SENDING, SLEEPING, POURED_ON])
async def test_a_client_that_vanishes_is_missed_within_keepalive_time_and_timeout(
    where: str, clock: trio.testing.MockClock
) -> None:
    async with a_world(KEEPALIVE) as world:
        caller, seen = await world.call(BIDI, where)
        world.relay.hold()
        clock.jump(KEEPALIVE.time + 1)
        await quiet()
        assert not seen.ended.is_set()
        clock.jump(KEEPALIVE.timeout + 1)
        with trio.fail_after(30):
            await seen.cancelled.wait()
        await settles(lambda: world.server.connections, 0, "connections of the server")
        world.relay.release()  # The client hears of it, late.
        with trio.fail_after(20):
            await caller.done.wait()
        assert caller.outcome is Status.UNAVAILABLE
        await world.leaks.no_connections()
        assert await world.echo("still there?") == "still there?"


async def test_leaving_without_taking_a_large_reply_does_not_wait_forever() -> None:
    async with a_world() as world:
        with trio.fail_after(20):
            async with world.channel.request(PATHS[UNARY], UNARY, StreamMessage, StreamResponse) as stream:
                await stream.send_message(StreamMessage(message=TOO_MUCH))
        await world.leaks.no_calls()


async def test_calls_that_are_cancelled_before_the_server_hears_of_them_leave_nothing() -> None:
    async with a_world() as world:
        await world.echo("connected")
        world.relay.hold()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                for kind in Cardinality:
                    nursery.start_soon(Caller().run, world.channel, kind, SLEEPING, None)
                await settles(lambda: world.channel.calls, len(Cardinality), "calls of the client")
                scope.cancel()
        assert world.channel.calls == 0
        world.relay.release()
        assert await world.echo("still there?") == "still there?"
        await world.leaks.no_calls()
