"""A server, a client and a line between them, and callers that wait until told otherwise: for calls that end early."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from anyio.abc import SocketAttribute

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import (
    Cardinality,
    Channel,
    ClientStream,
    GRPCError,
    Keepalive,
    Server,
    Status,
    open_channel,
    open_tcp_listener,
)
from tests.support.leaks import Leaks, no_leaks
from tests.support.quiet_clock import quiet
from tests.support.recording import CRASH, PATHS, RECEIVING, SLEEPING, TOO_MUCH, WAIT, Recorder, Seen
from tests.support.relay import Relay, relaying
from tests.support.serving import LOOPBACK

UNARY = Cardinality.UNARY_UNARY
BIDI = Cardinality.STREAM_STREAM

TIMEOUT = 600.0  # Seconds of the deadlines, which only turning the clock forward makes pass.
GRACE = 60.0

POURED_ON = "poured on"  # Where a handler waits: it sleeps, while its client sends more than there is room for.

LEFT = "left"  # The caller left the block by itself,
CANCELLED = "cancelled"  # or was cancelled,
FAILED = "failed"  # or failed for a reason of its own.
Outcome = Status | str


class Caller:
    """A client's task with one call, that takes no messages and waits for its end, or to send, until told otherwise.

    Attributes:
        scope: Around the call.
        stream: The call.
        outcome: How the block ended.
        done: It has.
    """

    scope: trio.CancelScope
    stream: ClientStream[StreamMessage, StreamResponse]

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.done = trio.Event()
        self._waiting = trio.CancelScope()
        self._then: Outcome | None = None

    def leave(self) -> None:
        """Leave the block."""
        self._then = LEFT
        self._waiting.cancel()

    def fail(self) -> None:
        """Raise something in the block."""
        self._then = FAILED
        self._waiting.cancel()

    def read(self) -> None:
        """Take the messages that are there, to the call's end."""
        self._waiting.cancel()

    async def run(self, channel: Channel, kind: Cardinality, where: str, crash: str | None) -> None:
        metadata = {WAIT: SLEEPING if where == POURED_ON else where} | ({} if crash is None else {CRASH: crash})
        self.stream = channel.request(
            PATHS[kind], kind, StreamMessage, StreamResponse, timeout=TIMEOUT, metadata=metadata
        )
        try:
            with trio.CancelScope() as self.scope:
                self.outcome = await self._call(kind, where)
            if self.scope.cancelled_caught:
                self.outcome = CANCELLED
        except GRPCError as error:
            self.outcome = error.status
        except LookupError:
            self.outcome = FAILED
        finally:
            self.done.set()

    async def _call(self, kind: Cardinality, where: str) -> Outcome:
        async with self.stream as stream:
            await stream.send_request()
            if where != RECEIVING or kind.client_streaming:
                await stream.send_message(StreamMessage(stream_id="a"))
            with self._waiting:
                while where == POURED_ON:
                    await stream.send_message(StreamMessage(message=TOO_MUCH))
                await stream.recv_trailing_metadata()
            if self._then == FAILED:
                raise LookupError("a bug of the caller's")
            if self._then != LEFT:
                async for _ in stream:
                    pass
            return LEFT


class World:
    """A server, a client, and a line between them.

    Attributes:
        recorder: What the server serves.
        server: The server.
        serving: Around all of the server's tasks.
        channel: The client's channel, over the line.
        close_channel: Set it to have the channel's block left.
        drained: A drain has returned.
        relay: The line.
        nursery: For tasks of the test.
        leaks: Counts what runs and is open.
    """

    channel: Channel
    relay: Relay
    nursery: trio.Nursery
    leaks: Leaks

    def __init__(self, keepalive: Keepalive | None = None) -> None:
        self.recorder = Recorder()
        self.server = Server([self.recorder], keepalive=keepalive)
        self.serving = trio.CancelScope()
        self.close_channel = trio.Event()
        self.drained = trio.Event()

    async def call(self, kind: Cardinality, where: str, crash: str | None = None) -> tuple[Caller, Seen]:
        """Make a call whose handler waits; both wait when it returns."""
        caller = Caller()
        self.nursery.start_soon(caller.run, self.channel, kind, where, crash)
        seen = await self.recorder.calls.next()
        with trio.fail_after(20):
            await seen.waiting.wait()
        await quiet()
        return caller, seen

    async def echo(self, text: str) -> str:
        """A call that is answered."""
        with trio.fail_after(20):
            async with self.channel.request(PATHS[UNARY], UNARY, StreamMessage, StreamResponse) as stream:
                await stream.send_message(StreamMessage(message=text))
                reply = await stream.recv_message()
        assert reply is not None
        return reply.response

    async def drain(self) -> None:
        """Drain the server with `GRACE`."""
        await self.server.drain(GRACE)
        self.drained.set()

    async def serve(self, *, task_status: trio.TaskStatus[int]) -> None:
        listener = await open_tcp_listener(LOOPBACK, 0)
        with self.serving:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.server.serve, listener)
                task_status.started(listener.extra(SocketAttribute.local_port))

    async def open_channel(self, *, task_status: trio.TaskStatus[Channel]) -> None:
        async with open_channel(LOOPBACK, self.relay.port) as channel:
            task_status.started(channel)
            await self.close_channel.wait()


@asynccontextmanager
async def a_world(keepalive: Keepalive | None = None) -> AsyncIterator[World]:
    """Everything, up and running; afterwards nothing must be left of it."""
    world = World(keepalive)
    async with no_leaks() as world.leaks, trio.open_nursery() as world.nursery:
        port = await world.nursery.start(world.serve)
        async with relaying(port) as world.relay:
            world.channel = await world.nursery.start(world.open_channel)
            world.leaks.watch(world.server, world.channel)
            yield world
            world.close_channel.set()
            await world.leaks.no_connections()
        world.serving.cancel()
