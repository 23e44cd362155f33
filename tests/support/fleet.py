"""Identical servers at the addresses of a name, without sockets: each can refuse, fall silent, die and come back."""

import errno
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Unpack

import anyio
from anyio.abc import ByteStream, TaskGroup
from h2.errors import ErrorCodes

from echo.rpc import Channel, Limits, Server
from echo.rpc.channel_options import ChannelOptions
from echo.rpc.channels import open_channel_to
from echo.rpc.resolve import Endpoint
from echo.rpc.servable import Servable
from echo.transport.background import open_background
from echo.transport.memory import memory_stream_pair
from echo.wire.events import RequestStarted
from echo.wire.server import ServerConnection
from echo.wire.stream import Stream
from tests.support.services import UNARY, BytesCodec, BytesStream, CallOptions, Service, unary

CODEC = BytesCodec()


class Host:
    """One address.

    Attributes:
        server: The server at this address.
        attempts: The times of attempts to connect.
        given_up: How many attempts were cancelled.
        down: Whether connections are refused.
        why: The errno of such a refusal.
        silent: Whether attempts to connect hang forever.
        delay: Seconds that an attempt takes.
        refuses: Whether calls are refused unprocessed (RFC 9113 §8.7).
        refused: How many calls were refused.
        hold: If set, its calls wait for this.
        held: How many calls wait for it.
    """

    def __init__(self, name: str, tasks: TaskGroup, services: Sequence[Servable]) -> None:
        self.name = name
        self._services = [Service(Name=(UNARY, self._name)), *services]
        self.server = Server(self._services, codec=CODEC)
        self.attempts: list[float] = []
        self.given_up = 0
        self.down = False
        self.why = errno.ECONNREFUSED
        self.silent = False
        self.delay = 0.0
        self.refuses = False
        self.refused = 0
        self.hold: anyio.Event | None = None
        self.held = 0
        self._tasks = tasks
        self._connections: set[anyio.CancelScope] = set()
        self._deaths = 0

    def endpoint(self) -> Endpoint:
        return Endpoint(self.name, "fleet.test", self.dial)

    async def dial(self) -> ByteStream:
        self.attempts.append(anyio.current_time())
        deaths = self._deaths
        if self.delay:
            await anyio.sleep(self.delay)
        if self.down or self._deaths != deaths:
            raise OSError(self.why, "no")
        if self.silent:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                self.given_up += 1
                raise
        ours, theirs = memory_stream_pair(100)
        self._tasks.start_soon(self._serve, theirs)
        return ours

    def die(self) -> None:
        """Break all its connections, including those being made, and refuse new ones."""
        self.down = True
        self._deaths += 1
        for scope in self._connections:
            scope.cancel()

    def come_back(self) -> None:
        self.down = False

    async def roll_over(self) -> None:
        """Drain the server; another takes its place."""
        old, self.server = self.server, Server(self._services, codec=CODEC)
        await old.drain(60)

    async def _serve(self, stream: ByteStream) -> None:
        with anyio.CancelScope() as scope:
            self._connections.add(scope)
            if self.refuses:
                await self._turn_away(stream)
            else:
                await self.server.serve_connection(stream)
        self._connections.discard(scope)

    async def _name(self, stream: BytesStream) -> None:
        await stream.recv_message()
        if self.hold is not None:
            self.held += 1
            await self.hold.wait()
        await stream.send_message(self.name.encode())

    async def _turn_away(self, stream: ByteStream) -> None:
        connection = ServerConnection(Limits(), Stream)
        async with stream:
            async for data in stream:
                for event in connection.receive(data):
                    if isinstance(event, RequestStarted):
                        self.refused += 1
                        connection.reset(event.stream, ErrorCodes.REFUSED_STREAM)
                if connection.has_output:
                    await stream.send(connection.take_output())


class Fleet:
    """The hosts, and the name that resolves to them.

    Attributes:
        hosts: The hosts by address.
        addresses: What the name resolves to now.
        unknown: Whether the name does not resolve.
        lookups: The times of look-ups.
        slow: Whether look-ups hang forever.
    """

    def __init__(self, tasks: TaskGroup, services: Callable[[], Sequence[Servable]]) -> None:
        self.hosts: dict[str, Host] = {}
        self.addresses: list[str] = []
        self.unknown = False
        self.slow = False
        self.lookups: list[float] = []
        self._tasks = tasks
        self._services = services

    def add(self, *names: str) -> None:
        """New hosts, at new addresses of the name."""
        for name in names:
            self.hosts[name] = Host(name, self._tasks, self._services())
            self.addresses.append(name)

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    async def resolve(self) -> Sequence[Endpoint]:
        self.lookups.append(anyio.current_time())
        if self.slow:
            await anyio.sleep_forever()
        if self.unknown:
            raise OSError("name is not known")
        return [self.hosts[name].endpoint() for name in self.addresses]


def nothing() -> Sequence[Servable]:
    return ()


@asynccontextmanager
async def a_fleet(
    *names: str, services: Callable[[], Sequence[Servable]] = nothing, **options: Unpack[ChannelOptions]
) -> AsyncIterator[tuple[Fleet, Channel]]:
    """Hosts of these names, and a channel to them all."""
    async with open_background() as tasks:
        fleet = Fleet(tasks, services)
        fleet.add(*names)
        options["codec"] = CODEC
        async with open_channel_to(fleet.resolve, "fleet", **options) as channel:
            yield fleet, channel
        tasks.cancel_scope.cancel()


async def who(channel: Channel, **options: Unpack[CallOptions]) -> str:
    """The host that answers a call."""
    return (await unary(channel, "Name", **options)).decode()


async def shares(channel: Channel, calls: int) -> dict[str, int]:
    """Make this many calls, one after the other; returns how many of them each host answered."""
    return Counter([await who(channel) for _ in range(calls)])
