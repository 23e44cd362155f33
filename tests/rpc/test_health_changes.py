"""Health's Watch: the current status at once, then every change, until the server drains."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import cast

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from echo.pb.grpc.health.v1 import HealthCheckRequest, HealthCheckResponse
from echo.rpc import Cardinality, Channel, ClientStream, Server
from echo.rpc.health import NOT_SERVING, SERVICE_UNKNOWN, SERVING, Health, ServingStatus
from echo.rpc.testing import memory_channel_to
from tests.support.health import STREAMING_ECHO, UNARY_ECHO, UNKNOWN, asking, echo_health
from tests.support.services import on_both_loops

Watch = ClientStream[HealthCheckRequest, HealthCheckResponse]


@asynccontextmanager
async def watching(channel: Channel, service: str) -> AsyncIterator[Watch]:
    path = "/grpc.health.v1.Health/Watch"
    async with channel.request(path, Cardinality.UNARY_STREAM, HealthCheckRequest, HealthCheckResponse) as watch:
        await watch.send_message(HealthCheckRequest(service))
        yield watch


async def told(watch: Watch) -> ServingStatus:
    """Wait for the next status."""
    response = await watch.recv_message()
    assert response is not None
    return response.status


async def is_told_nothing(watch: Watch) -> bool:
    """Whether no status arrives although everything that could happen has happened."""
    message: HealthCheckResponse | None = None
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def receive() -> None:
                nonlocal message
                message = await watch.recv_message()

            tasks.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    return message is None and scope.cancelled_caught


@on_both_loops
async def test_a_watch_sends_the_status_at_once_and_at_every_change() -> None:
    health = echo_health()
    async with asking(health) as (_, channel), watching(channel, UNARY_ECHO) as watch:
        assert await told(watch) == SERVING
        for change in (NOT_SERVING, SERVING, UNKNOWN, NOT_SERVING):
            health.set(UNARY_ECHO, change)
            assert await told(watch) == change


@on_both_loops
async def test_a_watch_of_an_unknown_service_goes_on_until_it_is_known() -> None:
    health = echo_health()
    async with asking(health) as (_, channel), watching(channel, "later.Service") as watch:
        assert await told(watch) == SERVICE_UNKNOWN
        assert await is_told_nothing(watch)
        health.set("later.Service", SERVING)
        assert await told(watch) == SERVING


@on_both_loops
async def test_a_watch_repeats_no_status_and_ignores_other_services() -> None:
    health = echo_health()
    async with asking(health) as (_, channel), watching(channel, UNARY_ECHO) as watch:
        assert await told(watch) == SERVING
        health.set(UNARY_ECHO, SERVING)
        assert await is_told_nothing(watch)
        health.set(STREAMING_ECHO, NOT_SERVING)
        assert await is_told_nothing(watch)
        health.set(UNARY_ECHO, NOT_SERVING)
        health.set(UNARY_ECHO, SERVING)
        assert await is_told_nothing(watch)
        health.set(UNARY_ECHO, NOT_SERVING)
        assert await told(watch) == NOT_SERVING


@on_both_loops
async def test_every_watch_of_a_service_gets_a_change() -> None:
    health = echo_health()
    async with (
        asking(health) as (_, channel),
        watching(channel, "") as whole,
        watching(channel, UNARY_ECHO) as one,
        watching(channel, UNARY_ECHO) as other,
    ):
        assert [await told(watch) for watch in (whole, one, other)] == [SERVING] * 3
        health.set(UNARY_ECHO, NOT_SERVING)
        assert [await told(watch) for watch in (one, other)] == [NOT_SERVING] * 2
        assert await is_told_nothing(whole)


@on_both_loops
async def test_a_change_during_the_sending_of_a_status_is_sent_next() -> None:
    health = echo_health()
    watch = health.watch(HealthCheckRequest(UNARY_ECHO))
    async with aclosing(cast("AsyncGenerator[HealthCheckResponse, None]", watch)):
        assert (await anext(watch)).status == SERVING
        health.set(UNARY_ECHO, NOT_SERVING)  # The generator is at its yield, as it is while a reply is sent.
        assert (await anext(watch)).status == NOT_SERVING


@on_both_loops
async def test_a_slow_watch_gets_only_the_latest_status() -> None:
    health = echo_health()
    watch = health.watch(HealthCheckRequest(UNARY_ECHO))
    async with aclosing(cast("AsyncGenerator[HealthCheckResponse, None]", watch)):
        assert (await anext(watch)).status == SERVING
        for _ in range(10_000):
            health.set(UNARY_ECHO, SERVING)
            health.set(UNARY_ECHO, NOT_SERVING)
        assert (await anext(watch)).status == NOT_SERVING
        health.set(UNARY_ECHO, SERVING)
        assert (await anext(watch)).status == SERVING


STATUSES = st.sampled_from([SERVING, NOT_SERVING, UNKNOWN])
CHANGES = st.tuples(st.sampled_from(["a", "b"]), STATUSES)
# So changes fall on every moment of a watch's round: `turn` lets it take one step, `settle` all of them.
MOMENTS = st.sampled_from(["turn", "settle"])


@given(st.lists(CHANGES | MOMENTS, max_size=30))
def test_a_watch_s_last_report_is_the_current_status(
    steps: list[tuple[str, ServingStatus] | str],
) -> None:
    async def main() -> None:
        health = Health([])
        heard: list[int] = []
        current: ServingStatus = SERVICE_UNKNOWN

        async def listen() -> None:
            async for response in health.watch(HealthCheckRequest("a")):
                heard.append(response.status)  # noqa: PERF401 - each is looked at as it comes

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            for step in steps:
                if step == "turn":
                    await checkpoint()
                elif step == "settle":
                    await anyio.wait_all_tasks_blocked()
                    assert heard[-1] == current
                else:
                    assert isinstance(step, tuple)
                    health.set(*step)
                    current = step[1] if step[0] == "a" else current
            await anyio.wait_all_tasks_blocked()
            assert heard[-1] == current
            tasks.cancel_scope.cancel()
        assert all(one != next_one for one, next_one in pairwise(heard))

    anyio.run(main, backend="trio")


@on_both_loops
async def test_an_ended_watch_leaves_nothing_behind() -> None:
    health = echo_health()
    async with asking(health) as (_, channel):
        for _ in range(10):
            async with watching(channel, UNARY_ECHO) as watch:
                await told(watch)
        await anyio.wait_all_tasks_blocked()
        assert channel.calls == 0  # And `asking` looks at the server.


@pytest.mark.parametrize(
    ("service", "words"),
    [("", [SERVING, NOT_SERVING]), (UNARY_ECHO, [SERVING, NOT_SERVING]), ("no.such.Service", [SERVICE_UNKNOWN])],
)
@on_both_loops
async def test_a_drain_ends_a_watch_with_not_serving_and_ok(service: str, words: list[ServingStatus]) -> None:
    health = echo_health()
    async with asking(health) as (_, channel), watching(channel, service) as watch:
        assert await told(watch) == words[0]
        health.drain()
        assert [response.status async for response in watch] == words[1:]


@on_both_loops
async def test_a_watch_started_during_the_drain_gets_not_serving_and_ends() -> None:
    health = echo_health()
    async with asking(health) as (stub, _):
        health.drain()
        assert [response.status async for response in stub.watch(HealthCheckRequest(""))] == [NOT_SERVING]


@on_both_loops
async def test_watches_do_not_delay_a_server_s_drain() -> None:
    health = echo_health()
    server = Server([health])
    async with memory_channel_to(server) as channel, watching(channel, "") as watch:
        assert await told(watch) == SERVING
        health.drain()
        with anyio.fail_after(20):
            await server.drain(grace=1_000)
        assert await told(watch) == NOT_SERVING
        assert await watch.recv_message() is None
