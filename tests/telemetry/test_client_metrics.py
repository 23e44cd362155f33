"""The metrics of a channel's calls: attempts, retries, and calls that never reached a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from grpclib.const import Cardinality

from echo.rpc import Channel, GRPCError, open_channel, open_channel_over
from echo.telemetry.client import canonical
from echo.telemetry.meters import Meters
from echo.telemetry.prometheus import render
from tests.support.metrics import Scraped
from tests.support.refusing import CODEC, Network, network, refuse
from tests.support.services import ECHO

STARTED = "grpc_client_attempt_started_total"
ATTEMPTS = "grpc_client_attempt_duration_seconds_count"
CALLS = "grpc_client_call_duration_seconds_count"
TARGET = {"grpc_target": "dns:///echo.test:8081"}

PATH = next(path for path in ECHO.__mapping__() if path.endswith("One"))
METHOD = PATH.removeprefix("/")


@asynccontextmanager
async def metered(
    refusing: int = 0, config: dict[str, object] | None = None
) -> AsyncIterator[tuple[Channel, Meters, Network]]:
    """A channel whose calls are counted, over a network that refuses so many of them first."""
    meters = Meters("test")
    notes = meters.for_client("echo.test:8081", [PATH])
    async with (
        network(refuse, refusing) as (_, world),
        open_channel_over(world.dial, "memory", codec=CODEC, notes=notes, service_config=config) as channel,
    ):
        yield channel, meters, world


def shown(meters: Meters) -> Scraped:
    return Scraped(render(meters.snapshot()).decode())


async def call(channel: Channel, path: str = PATH, timeout: float | None = None) -> bytes | None:
    async with channel.request(path, Cardinality.UNARY_UNARY, bytes, bytes, timeout=timeout) as stream:
        await stream.send_message(b"hello", end=True)
        return await stream.recv_message()


async def test_a_call_is_an_attempt() -> None:
    async with metered() as (channel, meters, _):
        reply = await call(channel)
        found = shown(meters)
    assert reply is not None
    assert found.by("grpc_attempt_type", STARTED, grpc_method=METHOD, **TARGET) == {"original": 1}
    assert found.by("grpc_status", ATTEMPTS, grpc_method=METHOD, **TARGET) == {"OK": 1}
    assert found.by("grpc_status", CALLS, grpc_method=METHOD, **TARGET) == {"OK": 1}
    sizes = "compressed_message_size_bytes_sum"
    assert found.value(f"grpc_client_attempt_sent_total_{sizes}") == len(b"hello")
    assert found.value(f"grpc_client_attempt_rcvd_total_{sizes}") == len(reply)
    assert found.by("network_io_direction", "echo_grpc_client_messages_total") == {"receive": 1, "transmit": 1}
    assert found.value("echo_grpc_client_connections_total") == 1


async def test_calls_that_are_made_again_show_as_attempts_of_their_own() -> None:
    async with metered(refusing=2) as (channel, meters, _):
        await call(channel)
        found = shown(meters)
    assert found.by("grpc_attempt_type", STARTED) == {"original": 1, "transparent_retry": 2}
    assert found.by("grpc_status", ATTEMPTS) == {"UNAVAILABLE": 2, "OK": 1}
    assert found.by("grpc_status", CALLS) == {"OK": 1}
    assert found.value("echo_grpc_client_drained_connections_total") == 2
    assert found.value("echo_grpc_client_connections_total") == 3


def policy(**fields: object) -> dict[str, object]:
    return {"methodConfig": [{"name": [{}], **fields}]}


RETRYING = policy(
    retryPolicy={
        "maxAttempts": 3,
        "initialBackoff": "0.001s",
        "maxBackoff": "0.001s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
)


async def test_so_do_calls_that_are_retried_by_a_policy() -> None:
    async with metered(config=RETRYING) as (channel, meters, world):
        world.failure = "nobody there"
        with pytest.raises(GRPCError, match="nobody there"):
            await call(channel)
        found = shown(meters)
        assert found.by("grpc_attempt_type", STARTED) == {"original": 1, "retry": 2}
        assert found.by("grpc_status", ATTEMPTS) == {"UNAVAILABLE": 3}
        assert found.by("grpc_status", CALLS) == {"UNAVAILABLE": 1}
    async with metered(refusing=5, config=RETRYING) as (channel, meters, _):
        await call(channel)
        found = shown(meters)
        assert found.by("grpc_attempt_type", STARTED) == {"original": 1, "transparent_retry": 3, "retry": 2}
        assert found.by("grpc_status", ATTEMPTS) == {"UNAVAILABLE": 5, "OK": 1}
        assert found.by("grpc_status", CALLS) == {"OK": 1}


async def test_a_hedged_call_is_one_however_many_attempts_it_takes() -> None:
    async with metered(config=policy(hedgingPolicy={"maxAttempts": 3})) as (channel, meters, _):
        await call(channel)
        found = shown(meters)
    assert found.by("grpc_attempt_type", STARTED) == {"original": 1}
    assert found.by("grpc_status", ATTEMPTS) == {"OK": 1}
    assert found.by("grpc_status", CALLS) == {"OK": 1}


async def test_an_open_call_has_started_and_not_ended() -> None:
    async with metered() as (channel, meters, _):
        async with channel.request(PATH, Cardinality.UNARY_UNARY, bytes, bytes) as stream:
            await stream.send_request()
            found = shown(meters)
            assert found.value(STARTED, grpc_attempt_type="original") == 1
            assert found.value(ATTEMPTS) == found.value(CALLS) == 0
            assert found.value("echo_grpc_client_active_calls", grpc_method=METHOD) == 1
            await stream.cancel()
        found = shown(meters)
    assert found.by("grpc_status", CALLS) == {"CANCELLED": 1}
    assert found.value("echo_grpc_client_active_calls") == 0


async def test_a_call_that_is_left_early_is_cancelled() -> None:
    async with metered() as (channel, meters, _):
        async with channel.request(PATH, Cardinality.UNARY_UNARY, bytes, bytes) as stream:
            await stream.send_request()
        assert shown(meters).by("grpc_status", CALLS) == {"CANCELLED": 1}


async def test_a_call_without_a_connection_fails_as_an_attempt_too() -> None:
    async with metered() as (channel, meters, world):
        world.failure = "nobody there"
        with pytest.raises(GRPCError, match="nobody there"):
            await call(channel)
        found = shown(meters)
    assert found.by("grpc_status", ATTEMPTS) == found.by("grpc_status", CALLS) == {"UNAVAILABLE": 1}
    assert found.value(STARTED) == 1
    assert found.value("echo_grpc_client_failed_connections_total") == 1


async def test_waiting_for_a_connection_counts_and_so_does_giving_it_up(autojump_clock: object) -> None:
    async with metered() as (channel, meters, world):
        world.reachable = trio.Event()
        with pytest.raises(GRPCError):
            await call(channel, timeout=7)
        found = shown(meters)
        assert found.by("grpc_status", CALLS) == {"DEADLINE_EXCEEDED": 1}
        assert found.value("grpc_client_call_duration_seconds_sum") == pytest.approx(7)
        with trio.move_on_after(3):
            await call(channel)
        found = shown(meters)
    assert found.by("grpc_status", CALLS) == {"DEADLINE_EXCEEDED": 1, "CANCELLED": 1}
    assert found.value("grpc_client_call_duration_seconds_sum") == pytest.approx(10)
    assert found.value("echo_grpc_client_active_calls") == 0


async def test_a_call_lasts_until_its_status_comes_and_not_until_it_is_left(autojump_clock: object) -> None:
    async with metered() as (channel, meters, _):
        async with channel.request(PATH, Cardinality.UNARY_UNARY, bytes, bytes) as stream:
            await stream.send_message(b"hello", end=True)
            await stream.recv_message()
            await trio.sleep(60)
        assert shown(meters).value("grpc_client_call_duration_seconds_sum") < 1


async def test_methods_that_are_not_known_are_one() -> None:
    async with metered() as (channel, meters, _):
        for number in range(100):
            with pytest.raises(GRPCError):
                await call(channel, f"/made.Up/Method{number}")
        found = shown(meters)
    assert found.by("grpc_method", CALLS) == {"other": 100}
    assert found.by("grpc_method", STARTED) == {"other": 100}


async def test_who_takes_no_notes_takes_part_in_none() -> None:
    async with open_channel("127.0.0.1", 1) as channel:
        assert channel.notes is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("localhost:8081", "dns:///localhost:8081"),
        ("a:1,b:2", "dns:///a:1,b:2"),
        ("unix:/run/echo.sock", "unix:/run/echo.sock"),
    ],
)
def test_targets_are_uris(target: str, expected: str) -> None:
    assert canonical(target) == expected
