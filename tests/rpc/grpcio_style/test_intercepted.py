"""Calls like grpc.aio's on a channel with interceptors, which may raise another error than the server's."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import grpc
import pytest

from echo.rpc import Channel, GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from tests.support.services import (
    BIDI,
    CLIENT_STREAM,
    SERVER_STREAM,
    UNARY,
    BytesCodec,
    BytesStream,
    Run,
    Service,
    path,
)

Program = Callable[[Channel], Awaitable[object]]


async def unary(channel: Channel) -> object:
    return await channel.unary_unary(path("Unary"))(b"a", timeout=10)


async def stream_in(channel: Channel) -> object:
    return await channel.stream_unary(path("In"))(iter([b"a"]), timeout=10)


async def stream_out(channel: Channel) -> object:
    return [reply async for reply in channel.unary_stream(path("Out"))(b"a", timeout=10)]


async def stream_both(channel: Channel) -> object:
    return [reply async for reply in channel.stream_stream(path("Both"))(iter([b"a"]), timeout=10)]


async def read_and_write(channel: Channel) -> object:
    call = channel.stream_stream(path("Both"))(timeout=10)
    await call.write(b"a")
    return [await call.read(), await call.read()]


async def refuse(stream: BytesStream) -> None:
    await stream.recv_message()
    raise GRPCError(Status.NOT_FOUND, "not here")


async def reply_and_refuse(stream: BytesStream) -> None:
    await stream.send_message(b"reply")
    await refuse(stream)


async def wait(stream: BytesStream) -> None:
    await anyio.sleep_forever()


REFUSING = Service(
    Unary=(UNARY, refuse),
    In=(CLIENT_STREAM, refuse),
    Out=(SERVER_STREAM, reply_and_refuse),
    Both=(BIDI, reply_and_refuse),
)
WAITING = Service(Unary=(UNARY, wait), In=(CLIENT_STREAM, wait), Out=(SERVER_STREAM, wait), Both=(BIDI, wait))


@asynccontextmanager
async def replacing(_: object) -> AsyncIterator[None]:
    try:
        yield
    except GRPCError as error:
        raise GRPCError(Status.DATA_LOSS, "lost") from error


@asynccontextmanager
async def suppressing(_: object) -> AsyncIterator[None]:
    with suppress(GRPCError):
        yield


@asynccontextmanager
async def hurrying(_: object) -> AsyncIterator[None]:
    with anyio.move_on_after(0.01):
        yield


@pytest.mark.parametrize("program", [unary, stream_in, stream_out, stream_both, read_and_write])
@pytest.mark.parametrize(
    ("interceptor", "service", "code"),
    [
        (replacing, REFUSING, grpc.StatusCode.DATA_LOSS),
        (suppressing, REFUSING, grpc.StatusCode.NOT_FOUND),  # There is no reply in its place.
        (hurrying, WAITING, grpc.StatusCode.CANCELLED),
    ],
)
def test_the_call_ends_with_the_interceptor_s_error(
    run: Run, program: Program, interceptor: Any, service: Service, code: grpc.StatusCode
) -> None:
    async def main() -> None:
        server = Server([service], codec=BytesCodec())
        async with memory_channel_to(server, interceptors=[interceptor]) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await program(channel)
            assert raised.value.code() is code

    run(main)
