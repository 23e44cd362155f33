"""The end of writing: ``done_writing`` says it, as often as one likes, and so does the end of the call."""

import asyncio
from typing import Any

import grpc
import pytest

from tests.rpc.grpcio_style.conftest import Library, in_its_loop
from tests.rpc.grpcio_style.servicers import Todo, Todos


async def succeed(stub: Any) -> Any:
    call = stub.AddAll()
    await call.write(Todo(title="a"))
    await call.done_writing()
    assert (await call).titles == ["a"]
    return call


async def fail(stub: Any) -> Any:
    call = stub.AddAll(timeout=0.05)
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return call


async def cancel(stub: Any) -> Any:
    call = stub.AddAll()
    await call.wait_for_connection()
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    return call


@in_its_loop
async def test_it_may_be_said_twice(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.AddAll()
        await call.write(Todo(title="a"))
        await call.done_writing()
        await call.done_writing()
        assert (await call).titles == ["a"]


@pytest.mark.parametrize("finish", [succeed, fail, cancel])
@in_its_loop
async def test_once_the_call_is_over_it_changes_nothing_and_writing_is_an_error(library: Library, finish: Any) -> None:
    async with library.open_stub(Todos()) as stub:
        call = await finish(stub)
        code = await call.code()
        await call.done_writing()
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(Todo(title="too late"))
        assert await call.code() is code
