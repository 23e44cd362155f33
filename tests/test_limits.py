"""Which settings reach a connection, and that both ends of one permit what the other does by default."""

import math
from collections.abc import Mapping

import pytest
import trio
from anyio.abc import ByteStream

from echo.cli.programs import server_settings
from echo.limits import client_keepalive, client_limits, server_keepalive, server_limits
from echo.rpc import GRPCError, Keepalive, Limits, Server, Status, open_channel_over
from echo.settings import Settings, SettingsError, load_settings
from echo.transport.memory import memory_stream_pair
from tests.support.services import BIDI, ECHO, BytesCodec, call

CODEC = BytesCodec()


def test_by_default_the_limits_are_those_of_the_runtime() -> None:
    assert server_limits(load_settings({})) == Limits()
    assert client_limits(load_settings({})) == Limits()
    assert server_keepalive(load_settings({})) is None
    assert client_keepalive(load_settings({})) is None


def test_every_limit_that_can_be_set_reaches_the_server_s_connections() -> None:
    settings = load_settings(
        {
            "GRPC_MAX_MESSAGE_SIZE": "1MiB",
            "GRPC_MAX_CONCURRENT_STREAMS": "7",
            "GRPC_MAX_HEADER_LIST_SIZE": "8KiB",
            "GRPC_STREAM_WINDOW": "128KiB",
            "GRPC_CONNECTION_WINDOW": "256KiB",
            "GRPC_SERVER_HANDSHAKE_TIMEOUT": "3s",
            "GRPC_SERVER_WRITE_TIMEOUT": "4s",
            "GRPC_SERVER_WINDOW_TIMEOUT": "5s",
            "GRPC_SERVER_FLOOD_BURST": "500",
            "GRPC_SERVER_FLOOD_RATE": "60",
            "GRPC_SERVER_MIN_PING_INTERVAL": "8s",
            "GRPC_SERVER_MAX_CONNECTION_IDLE": "9s",
            "GRPC_SERVER_MAX_CONNECTION_AGE": "10s",
            "GRPC_SERVER_MAX_CONNECTION_AGE_GRACE": "11s",
        }
    )
    assert server_limits(settings) == Limits(
        max_message_size=2**20,
        max_concurrent_streams=7,
        max_header_list_size=8192,
        stream_window=131072,
        connection_window=262144,
        handshake_timeout=3,
        write_timeout=4,
        window_timeout=5,
        flood_burst=500,
        flood_rate=60,
        min_ping_interval=8,
        max_connection_idle=9,
        max_connection_age=10,
        max_connection_age_grace=11,
    )
    assert client_limits(settings) == Limits(
        max_message_size=2**20, max_header_list_size=8192, stream_window=131072, connection_window=262144
    )


def test_keepalive_has_the_times_that_are_set() -> None:
    settings = load_settings(
        {
            "GRPC_SERVER_KEEPALIVE": "true",
            "GRPC_SERVER_KEEPALIVE_TIME": "1m",
            "GRPC_SERVER_KEEPALIVE_TIMEOUT": "2s",
            "GRPC_CLIENT_KEEPALIVE": "true",
            "GRPC_CLIENT_KEEPALIVE_TIME": "3s",
            "GRPC_CLIENT_KEEPALIVE_TIMEOUT": "4s",
        }
    )
    assert server_keepalive(settings) == Keepalive(60, 2)
    assert client_keepalive(settings) == Keepalive(3, 4)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 300),
        ({"GRPC_SERVER_KEEPALIVE": "true"}, 5),
        ({"GRPC_SERVER_KEEPALIVE": "true", "GRPC_SERVER_MIN_PING_INTERVAL": "1m"}, 60),
        ({"GRPC_SERVER_MIN_PING_INTERVAL": "0s"}, 0),
    ],
)
def test_pings_are_permitted_as_often_as_keepalive_wants_or_as_it_is_set(
    environ: Mapping[str, str], seconds: float
) -> None:
    assert server_limits(load_settings(environ)).min_ping_interval == seconds


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 300),
        ({"GRPC_CLIENT_KEEPALIVE": "true"}, 5),
        ({"GRPC_CLIENT_KEEPALIVE": "true", "GRPC_CLIENT_KEEPALIVE_TIME": "1s"}, 0.5),
        ({"GRPC_CLIENT_KEEPALIVE": "true", "GRPC_SERVER_MIN_PING_INTERVAL": "10s"}, 10),
    ],
)
def test_in_one_process_the_server_permits_what_its_gateway_does(environ: Mapping[str, str], seconds: float) -> None:
    assert server_limits(server_settings(load_settings(environ))).min_ping_interval == seconds


def test_in_one_process_pings_that_are_not_permitted_are_refused_at_the_start() -> None:
    settings = load_settings({"GRPC_CLIENT_KEEPALIVE": "true"}, grpc_server_min_ping_interval="1m")
    with pytest.raises(SettingsError) as raised:
        server_settings(settings)
    assert str(raised.value) == (
        "GRPC_CLIENT_KEEPALIVE_TIME: 10s is more often than --grpc-server-min-ping-interval permits, 1m"
    )


async def idle_for(seconds: float, server: Settings, client: Settings) -> None:
    """Hold a call open, with nothing said in it, for this time, between a server and a client with these settings."""
    serving = Server([ECHO], codec=CODEC, limits=server_limits(server), keepalive=server_keepalive(server))
    async with trio.open_nursery() as nursery:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(serving.serve_connection, theirs)
            return ours

        async with (
            open_channel_over(
                dial, "memory", codec=CODEC, limits=client_limits(client), keepalive=client_keepalive(client)
            ) as channel,
            call(channel, "All", BIDI) as stream,
        ):
            await stream.send_message(b"before")
            assert await stream.recv_message() == b"before"
            with trio.move_on_after(seconds):
                await stream.recv_message()
            await stream.send_message(b"after")
            assert await stream.recv_message() == b"after"


@pytest.mark.parametrize(
    "server",
    [{"GRPC_SERVER_KEEPALIVE": "true"}, {"GRPC_SERVER_KEEPALIVE": "true", "GRPC_SERVER_KEEPALIVE_TIME": "15s"}],
)
async def test_a_server_with_keepalive_permits_a_gateway_with_keepalive(
    server: Mapping[str, str], autojump_clock: trio.abc.Clock
) -> None:
    await idle_for(3600, load_settings(server), load_settings({"GRPC_CLIENT_KEEPALIVE": "true"}))


async def test_a_server_without_keepalive_does_not(autojump_clock: trio.abc.Clock) -> None:
    with pytest.raises(BaseExceptionGroup) as raised:
        await idle_for(3600, load_settings({}), load_settings({"GRPC_CLIENT_KEEPALIVE": "true"}))
    (error,) = raised.value.exceptions
    assert isinstance(error, GRPCError)
    assert error.status is Status.UNAVAILABLE
    assert "too_many_pings" in (error.message or "")
    assert trio.current_time() < 60


async def test_a_connection_grows_as_old_as_it_is_set_to(autojump_clock: trio.abc.Clock) -> None:
    settings = load_settings({"GRPC_SERVER_MAX_CONNECTION_AGE": "1m", "GRPC_SERVER_MAX_CONNECTION_AGE_GRACE": "10s"})
    with pytest.raises(BaseExceptionGroup) as raised:
        await idle_for(math.inf, settings, load_settings({}))
    (error,) = raised.value.exceptions
    assert isinstance(error, GRPCError)
    assert error.message == "the connection reached its maximum age"
    assert 64 <= trio.current_time() <= 76
