"""The clients that are compared, each in a process of its own: ``python -m tests.bench.clients NAME PORT``.

Each calls our echo server on that port, over one connection, with what its users would write. It takes orders on
standard input, ``stream 5000`` for instance, and when it has done that answers with a line of JSON: the nanoseconds of
each message, where they are wanted.
"""

import asyncio
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import anyio
import grpc
import grpclib.client
from anyio import to_thread

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, open_channel
from tests.bench.peers import BIDIRECTIONAL, GET_REPLY, LOOPBACK
from tests.support import grpcio as protobuf

CALLERS: Final = 20  # Unary calls at once.
TEXT: Final = "a message of fair length"


class Client(ABC):
    """A client connected to the server."""

    @abstractmethod
    async def unary(self) -> None:
        """One call."""

    @abstractmethod
    async def stream(self, messages: int) -> None:
        """One stream, with as many messages on the way as the client cares to have; as many must come back."""

    @abstractmethod
    async def ping_pong(self, messages: int) -> list[int]:
        """One stream, one message on the way; the nanoseconds of each."""


class Ours(Client):
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._stub = ServerStub(channel)

    async def unary(self) -> None:
        assert (await self._stub.get_reply(Message("hello"))).success

    def _open(self) -> Any:
        return self._channel.request(BIDIRECTIONAL, Cardinality.STREAM_STREAM, StreamMessage, StreamResponse)

    async def stream(self, messages: int) -> None:
        async with self._open() as stream, anyio.create_task_group() as nursery:
            await stream.send_request()

            async def pour() -> None:
                for _ in range(messages):
                    await stream.send_message(StreamMessage(stream_id="bench", message=TEXT))
                await stream.end()

            nursery.start_soon(pour)
            await count(stream, messages)

    async def ping_pong(self, messages: int) -> list[int]:
        times = []
        async with self._open() as stream:
            for _ in range(messages):
                started = time.perf_counter_ns()
                await stream.send_message(StreamMessage(stream_id="bench", message=TEXT))
                assert (await stream.recv_message()).success
                times.append(time.perf_counter_ns() - started)
            await stream.end()
        return times


class Grpclib(Client):
    """grpclib's client; with betterproto's messages unless told others."""

    def __init__(self, channel: grpclib.client.Channel) -> None:
        self._message: Any = StreamMessage
        self._stub = ServerStub(channel)
        self._method: grpclib.client.StreamStreamMethod[Any, Any] = grpclib.client.StreamStreamMethod(
            channel, BIDIRECTIONAL, StreamMessage, StreamResponse
        )

    async def unary(self) -> None:
        assert (await self._stub.get_reply(Message("hello"))).success

    async def stream(self, messages: int) -> None:
        async with self._method.open() as stream:
            await stream.send_request()

            async def pour() -> None:
                for _ in range(messages):
                    await stream.send_message(self._message(stream_id="bench", message=TEXT))
                await stream.end()

            sender = asyncio.create_task(pour())
            await count(stream, messages)
            await sender

    async def ping_pong(self, messages: int) -> list[int]:
        times = []
        async with self._method.open() as stream:
            for _ in range(messages):
                started = time.perf_counter_ns()
                await stream.send_message(self._message(stream_id="bench", message=TEXT))
                reply = await stream.recv_message()
                assert reply is not None
                assert reply.success
                times.append(time.perf_counter_ns() - started)
            await stream.end()
        return times


class GrpclibProtobuf(Grpclib):
    def __init__(self, channel: grpclib.client.Channel) -> None:
        super().__init__(channel)
        self._message = protobuf.StreamMessage
        self._get_reply: grpclib.client.UnaryUnaryMethod[Any, Any] = grpclib.client.UnaryUnaryMethod(
            channel, GET_REPLY, protobuf.Message, protobuf.Response
        )
        self._method = grpclib.client.StreamStreamMethod(
            channel, BIDIRECTIONAL, protobuf.StreamMessage, protobuf.StreamResponse
        )

    async def unary(self) -> None:
        assert (await self._get_reply(protobuf.Message(message="hello"))).success


class GrpcioAio(Client):
    def __init__(self, channel: grpc.aio.Channel) -> None:
        p = protobuf
        self._get_reply = channel.unary_unary(GET_REPLY, p.Message.SerializeToString, p.Response.FromString)
        self._method = channel.stream_stream(
            BIDIRECTIONAL, p.StreamMessage.SerializeToString, p.StreamResponse.FromString
        )

    async def unary(self) -> None:
        assert (await self._get_reply(protobuf.Message(message="hello"))).success

    async def stream(self, messages: int) -> None:
        async def requests() -> AsyncIterator[Any]:
            for _ in range(messages):
                yield protobuf.StreamMessage(stream_id="bench", message=TEXT)

        await count(self._method(requests()), messages)

    async def ping_pong(self, messages: int) -> list[int]:
        times = []
        call = self._method()
        for _ in range(messages):
            started = time.perf_counter_ns()
            await call.write(protobuf.StreamMessage(stream_id="bench", message=TEXT))
            assert (await call.read()).success
            times.append(time.perf_counter_ns() - started)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        return times


async def count(responses: AsyncIterable[Any], wanted: int) -> None:
    """Take all responses; AssertionError when they are not as many as wanted."""
    received = 0
    async for _ in responses:
        received += 1
    assert received == wanted


async def unary(client: Client, calls: int) -> None:
    """Calls by twenty callers, each one after the other."""
    left = calls

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await client.unary()

    async with anyio.create_task_group() as nursery:
        for _ in range(CALLERS):
            nursery.start_soon(caller)


async def obey(client: Client, orders: Callable[[], str]) -> None:
    """Do what the lines say, until there are no more."""
    while line := await to_thread.run_sync(orders, abandon_on_cancel=True):
        what, _, number = line.partition(" ")
        times: list[int] = []
        match what:
            case "unary":
                await unary(client, int(number))
            case "stream":
                await client.stream(int(number))
            case "ping-pong":
                times = await client.ping_pong(int(number))
            case _:
                raise ValueError(line)
        print(json.dumps(times), flush=True)


@asynccontextmanager
async def open_ours(port: int) -> AsyncIterator[Client]:
    async with open_channel(LOOPBACK, port) as channel:
        yield Ours(channel)


@asynccontextmanager
async def open_grpclib(port: int) -> AsyncIterator[Client]:
    async with grpclib.client.Channel(LOOPBACK, port) as channel:
        yield Grpclib(channel)


@asynccontextmanager
async def open_grpclib_protobuf(port: int) -> AsyncIterator[Client]:
    async with grpclib.client.Channel(LOOPBACK, port) as channel:
        yield GrpclibProtobuf(channel)


@asynccontextmanager
async def open_grpcio_aio(port: int) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        yield GrpcioAio(channel)


Open = Callable[[int], AbstractAsyncContextManager[Client]]

CLIENTS: Final[dict[str, tuple[Open, str]]] = {
    "echo": (open_ours, "trio"),
    "echo on asyncio": (open_ours, "asyncio"),
    "grpclib + protobuf": (open_grpclib_protobuf, "asyncio"),
    "grpclib + betterproto": (open_grpclib, "asyncio"),
    "grpcio.aio": (open_grpcio_aio, "asyncio"),
}


def run(name: str, port: int) -> None:
    """Say the port, then do what is ordered until standard input ends."""
    open_client, backend = CLIENTS[name]

    async def main() -> None:
        async with open_client(port) as client:
            await client.unary()
            print(port, flush=True)
            await obey(client, sys.stdin.readline)

    entry: Callable[[], Awaitable[None]] = main
    anyio.run(entry, backend=backend)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
