"""Interceptors around grpcio's calls and servicers: a channel's may replace errors, a server's see every status."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import grpc
import pytest

from echo.rpc import Channel, GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from tests.rpc.grpcio_style.servicers import Todo, Todos, failure
from tests.support.generated import protobuf
from tests.support.services import (
    BIDI,
    CLIENT_STREAM,
    SERVER_STREAM,
    UNARY,
    BytesCodec,
    BytesStream,
    Service,
    on_both_loops,
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
@on_both_loops
async def test_the_call_ends_with_the_interceptor_s_error(
    program: Program, interceptor: Any, service: Service, code: grpc.StatusCode
) -> None:
    server = Server([service], codec=BytesCodec())
    async with memory_channel_to(server, interceptors=[interceptor]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await program(channel)
        assert raised.value.code() is code


class Setting(Todos):
    """Sets a status instead of aborting."""

    async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        context.set_trailing_metadata((("x-why", "asked"),))
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("as you said")


@pytest.mark.parametrize("servicer", [Todos(), Setting()])
@on_both_loops
async def test_a_server_s_interceptor_sees_the_status_that_a_servicer_sets(servicer: Todos) -> None:
    """With `abort` as with `set_code`: it may count the calls that failed."""
    seen: list[str] = []

    @asynccontextmanager
    async def counting(call: Any) -> AsyncGenerator[None, None]:
        call.trailing_metadata["x-counted"] = "yes"
        try:
            yield
        except GRPCError as error:
            seen.append(f"{error.status.name}: {error.message}")
            raise

    server = Server([], interceptors=[counting])
    protobuf("todo_pb2_grpc").add_TodosServicer_to_server(servicer, server)
    async with memory_channel_to(server) as channel:
        made = protobuf("todo_pb2_grpc").TodosStub(channel).Add(Todo(title="NOT_FOUND"))
        assert await failure(made) == (grpc.StatusCode.NOT_FOUND, "as you said")
        assert dict(await made.trailing_metadata()) == {"x-counted": "yes", "x-why": "asked"}
    assert seen == ["NOT_FOUND: as you said"]
