"""Reflection and a drain: a silent stream does not delay the drain, and a last question is still answered."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TypeAlias, cast

import pytest
import trio
import trio.testing
from grpclib.reflection.v1 import reflection_pb2 as v1
from grpclib.reflection.v1alpha import reflection_pb2 as v1alpha

from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, Server, Status
from echo.rpc.reflection import LAST_QUESTION_TIMEOUT, reflection
from echo.rpc.testing import memory_channel_to
from echo.services import echo_services

Questions: TypeAlias = ClientStream[v1.ServerReflectionRequest, v1.ServerReflectionResponse]
VERSIONS = pytest.mark.parametrize("version", [v1, v1alpha], ids=["v1", "v1alpha"])
GRACE = 1_000.0


@asynccontextmanager
async def asking(
    channel: Channel, version: ModuleType
) -> AsyncIterator[tuple[Questions, Callable[[], Awaitable[int]]]]:
    """A reflection call, and a function that asks in it for the list of services and gives their number."""
    path = f"/{version.DESCRIPTOR.package}.ServerReflection/ServerReflectionInfo"
    request_type = cast("type[v1.ServerReflectionRequest]", version.ServerReflectionRequest)
    response_type = cast("type[v1.ServerReflectionResponse]", version.ServerReflectionResponse)
    async with channel.request(path, Cardinality.STREAM_STREAM, request_type, response_type) as stream:

        async def ask() -> int:
            await stream.send_message(request_type(list_services="*"))
            response = await stream.recv_message()
            assert response is not None
            return len(response.list_services_response.service)

        yield stream, ask


@VERSIONS
async def test_a_stream_without_further_questions_ends_with_ok_soon(
    version: ModuleType, autojump_clock: trio.abc.Clock
) -> None:
    echo = echo_services()
    server = Server(echo.services)
    async with memory_channel_to(server) as channel, asking(channel, version) as (stream, ask):
        assert await ask() == 6
        await trio.sleep(3600)  # Silence alone does not end it.
        assert await ask() == 6
        began = trio.current_time()
        echo.health.drain()
        await server.drain(GRACE)
        assert trio.current_time() - began == pytest.approx(LAST_QUESTION_TIMEOUT, abs=0.1)
        assert await stream.recv_message() is None


@VERSIONS
async def test_a_question_on_its_way_when_the_drain_begins_is_answered(
    version: ModuleType, autojump_clock: trio.abc.Clock
) -> None:
    echo = echo_services()
    server = Server(echo.services)
    async with (
        memory_channel_to(server) as channel,
        trio.open_nursery() as nursery,
        asking(channel, version) as (_, ask),
    ):
        assert await ask() == 6
        echo.health.drain()
        nursery.start_soon(server.drain, GRACE)
        await trio.sleep(LAST_QUESTION_TIMEOUT / 2)
        assert await ask() == 6
        await trio.sleep(LAST_QUESTION_TIMEOUT / 2)
        assert await ask() == 6


async def test_a_client_that_leaves_ends_the_handler_at_once(autojump_clock: trio.abc.Clock) -> None:
    echo = echo_services()
    server = Server(echo.services)
    async with memory_channel_to(server) as channel:
        async with asking(channel, v1) as (stream, ask):
            assert await ask() == 6
            await stream.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert server.calls == 0


async def test_without_notice_of_the_drain_a_stream_gets_the_whole_grace_period(autojump_clock: trio.abc.Clock) -> None:
    server = Server(reflection([], b""))
    async with memory_channel_to(server) as channel, asking(channel, v1) as (stream, ask):
        assert await ask() == 2
        await server.drain(30)
        assert trio.current_time() == pytest.approx(30, abs=0.1)
        with pytest.raises(GRPCError) as raised:
            await stream.recv_message()
        assert raised.value.status is Status.UNAVAILABLE
