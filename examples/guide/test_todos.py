"""Tests of a service without sockets or sleeping, with the same code as over TCP."""

import pytest

from echo.rpc import GRPCError, Status
from echo.rpc.testing import memory_channel
from examples.pb.todo.v1 import AddRequest, TodosStub
from examples.todo_server import Todos


async def test_to_dos_are_numbered() -> None:
    async with memory_channel([Todos()]) as channel:
        stub = TodosStub(channel)
        assert (await stub.add(AddRequest("buy milk"))).number == 1
        assert (await stub.add(AddRequest("drink it"))).number == 2


async def test_a_title_is_required() -> None:
    async with memory_channel([Todos()]) as channel:
        with pytest.raises(GRPCError) as refused:
            await TodosStub(channel).add(AddRequest())
    assert refused.value.status is Status.INVALID_ARGUMENT
