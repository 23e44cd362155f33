"""A network whose first connections lead to servers that refuse calls; later ones lead to a server that serves."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import trio
from anyio.abc import ByteStream
from h2.errors import ErrorCodes

from echo.rpc import Channel, Limits, Server, open_channel_over
from echo.transport.memory import memory_stream_pair
from echo.wire.events import DataReceived, Event, HalfClosed, RequestStarted
from echo.wire.head import Response
from echo.wire.server import ServerConnection
from echo.wire.stream import Stream
from tests.support.services import ECHO, BytesCodec

CODEC = BytesCodec()

Refuse: TypeAlias = Callable[[ServerConnection[Stream], Stream], None]


def refuse(connection: ServerConnection[Stream], stream: Stream) -> None:
    """Send REFUSED_STREAM, and have further calls go elsewhere."""
    connection.reset(stream, ErrorCodes.REFUSED_STREAM)
    connection.goaway()


def go_away(connection: ServerConnection[Stream], stream: Stream) -> None:
    """Send GOAWAY with a last stream below this one."""
    connection.goaway(last_stream_id=max(0, stream.id - 2))


def answer_and_refuse(connection: ServerConnection[Stream], stream: Stream) -> None:
    """Send the head of a response, and then claim that nothing was processed."""
    connection.send_response(stream, Response())
    refuse(connection, stream)


class Refusing:
    """A connection to a server that refuses calls.

    Attributes:
        messages: What was sent to it.
        half_closed: So it was.
    """

    def __init__(self, network: "Network", stream: ByteStream) -> None:
        self.messages: list[bytes] = []
        self.half_closed = False
        self._network = network
        self._stream = stream
        self._connection = ServerConnection(Limits(), Stream)
        self._held: list[Stream] = []

    async def run(self) -> None:
        """Read from the client until there is nothing left to refuse."""
        async with self._stream:
            async for data in self._stream:
                for event in self._connection.receive(data):
                    self._hear(event)
                await self._flush()
                if not self._network.refusing:
                    return

    async def refuse_held(self) -> None:
        """Refuse the calls that were held when they arrived."""
        while self._held:
            self._refuse(self._held.pop(0))
        await self._flush()

    def _hear(self, event: Event[Stream]) -> None:
        if isinstance(event, RequestStarted):
            self._held.append(event.stream)
        elif isinstance(event, DataReceived):
            for stream in event.streams:
                while (message := self._connection.next_message(stream)) is not None:
                    self.messages.append(message)
        elif isinstance(event, HalfClosed):
            self.half_closed = True
        if self._held and self._network.is_due(self, event):
            self._refuse(self._held.pop(0))

    def _refuse(self, stream: Stream) -> None:
        self._network.refusing -= 1
        self._network.how(self._connection, stream)

    async def _flush(self) -> None:
        if self._connection.has_output:
            await self._stream.send(self._connection.take_output())


Due: TypeAlias = Callable[[Refusing, Event[Stream]], bool]


def at_the_head(server: Refusing, event: Event[Stream]) -> bool:
    return isinstance(event, RequestStarted)


def at_the_end(server: Refusing, event: Event[Stream]) -> bool:
    return isinstance(event, HalfClosed)


def when_told(server: Refusing, event: Event[Stream]) -> bool:
    """Refuse no call before the test calls `Network.refuse_held`."""
    return False


def after(messages: int) -> Due:
    """Refuse a call once this many messages have arrived."""

    def due(server: Refusing, event: Event[Stream]) -> bool:
        return len(server.messages) >= messages

    return due


class Network:
    """The network that the client dials.

    Attributes:
        how: How calls are refused,
        is_due: and when.
        refusing: How many are still to be.
        refusals: The connections to servers that refuse, oldest first.
        served: How many connections lead to the server that serves.
        reachable: Set while connections can be had; others wait.
        failure: Why no more can be had, if that is so.
    """

    def __init__(self, nursery: trio.Nursery, server: Server, how: Refuse, refusing: int, is_due: Due) -> None:
        self.how = how
        self.is_due = is_due
        self.refusing = refusing
        self.refusals: list[Refusing] = []
        self.served = 0
        self.reachable = trio.Event()
        self.reachable.set()
        self.failure = ""
        self._nursery = nursery
        self._server = server
        self._total = refusing

    @property
    def refused(self) -> int:
        """The number of calls refused so far."""
        return self._total - self.refusing

    async def refuse_held(self) -> None:
        """Refuse the calls that were held, and let all tasks process it."""
        await trio.testing.wait_all_tasks_blocked()
        await self.refusals[-1].refuse_held()
        await trio.testing.wait_all_tasks_blocked()

    async def dial(self) -> ByteStream:
        await self.reachable.wait()
        if self.failure:
            raise OSError(self.failure)
        ours, theirs = memory_stream_pair(100)
        if self.refusing:
            self.refusals.append(Refusing(self, theirs))
            self._nursery.start_soon(self.refusals[-1].run)
        else:
            self.served += 1
            self._nursery.start_soon(self._server.serve_connection, theirs)
        return ours


@asynccontextmanager
async def network(
    how: Refuse,
    refusing: int,
    is_due: Due = at_the_head,
    server: Server | None = None,
    limits: Limits = Limits(),
    service_config: dict[str, object] | None = None,
) -> AsyncIterator[tuple[Channel, Network]]:
    """A channel over a network that refuses this many calls, and the network."""
    async with trio.open_nursery() as nursery:
        world = Network(nursery, server or Server([ECHO], codec=CODEC), how, refusing, is_due)
        async with open_channel_over(
            world.dial, "memory", codec=CODEC, limits=limits, service_config=service_config
        ) as channel:
            yield channel, world
        nursery.cancel_scope.cancel()
