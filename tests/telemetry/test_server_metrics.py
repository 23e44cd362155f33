"""The metrics of a server's calls and connections: a real process, scraped, and servers in memory."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, GRPCError, Limits, Server, open_channel
from echo.rpc.testing import memory_channel_to
from echo.services import EchoService, StreamingEchoService
from echo.telemetry.meters import Meters
from echo.telemetry.prometheus import render
from tests.support.chat import chat, say
from tests.support.leaks import settles
from tests.support.metrics import GET_REPLY, STREAMING, Scraped, scrape, scraped_until
from tests.support.process import Echo, running
from tests.support.quiet_clock import QuietClock
from tests.support.raw import raw_client
from tests.support.serving import serving
from tests.support.target import request
from tests.support.tls import Certificates, serving_tls

STARTED = "grpc_server_call_started_total"
ENDED = "grpc_server_call_duration_seconds_count"
MESSAGES = "echo_grpc_server_messages_total"
IO = "echo_grpc_server_io_bytes_total"
REFUSED = "echo_grpc_server_refused_connections_total"
SENT = "grpc_server_call_sent_total_compressed_message_size_bytes"
RECEIVED = "grpc_server_call_rcvd_total_compressed_message_size_bytes"

SERVE = ["serve", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0", "--metrics-bind", "127.0.0.1"]


@asynccontextmanager
async def measured() -> AsyncIterator[tuple[Echo, Channel, int]]:
    """A server in a process of its own, a channel to it, and the port of its metrics."""
    async with (
        running(*SERVE, METRICS_PORT="0") as echo,
        open_channel("127.0.0.1", await echo.grpc_port()) as channel,
    ):
        yield echo, channel, await echo.metrics_port()


@asynccontextmanager
async def metered(limits: Limits | None = None) -> AsyncIterator[tuple[Server, Meters]]:
    """A server whose calls are counted, to be served by the test."""
    meters = Meters("test")
    meter = meters.for_server()
    server = Server([EchoService(), StreamingEchoService()], notes=[meter], limits=limits or Limits())
    meter.watch(server)
    yield server, meters


def shown(meters: Meters) -> Scraped:
    return Scraped(render(meters.snapshot()).decode())


async def call(channel: Channel, path: str = f"/{GET_REPLY}", timeout: float | None = None) -> str:
    unary = channel.request(path, Cardinality.UNARY_UNARY, Message, Response, timeout=timeout)
    async with unary as stream:
        await stream.send_message(Message("hi"), end=True)
        reply = await stream.recv_message()
    assert reply is not None
    return reply.response


async def test_calls_of_each_kind_are_counted_exactly() -> None:
    async with measured() as (_, channel, port):
        for _ in range(3):
            await call(channel)
        async with chat(channel) as stream:
            for _ in range(2):
                await say(stream, "hello")
            await stream.end()
            assert await stream.recv_message() is None
        uploading = channel.request(
            f"/{STREAMING}/ClientStream", Cardinality.STREAM_UNARY, StreamMessage, StreamResponse
        )
        async with uploading as stream:
            for _ in range(4):
                await stream.send_message(StreamMessage(stream_id="a"))
            await stream.end()
            await stream.recv_message()
        async with chat(channel) as stream:
            await stream.send_message(StreamMessage(message="no stream_id"), end=True)
            with pytest.raises(GRPCError, match="stream_id is required"):
                await stream.recv_message()
        found = await scraped_until(port, lambda now: now.value(ENDED) == 6)
    assert found.by("grpc_method", STARTED) == {
        GET_REPLY: 3,
        f"{STREAMING}/BidirectionalStream": 2,
        f"{STREAMING}/ClientStream": 1,
    }
    assert found.by("grpc_status", ENDED, grpc_method=f"{STREAMING}/BidirectionalStream") == {
        "OK": 1,
        "INVALID_ARGUMENT": 1,
    }
    assert found.value(MESSAGES, grpc_method=GET_REPLY, network_io_direction="receive") == 3
    assert found.value(MESSAGES, grpc_method=f"{STREAMING}/ClientStream", network_io_direction="receive") == 4
    assert found.value(MESSAGES, grpc_method=f"{STREAMING}/ClientStream", network_io_direction="transmit") == 1
    received, sent = len(bytes(Message("hi"))), len(bytes(Response(success=True, response="from server:hi")))
    assert found.value(f"{RECEIVED}_sum", grpc_method=GET_REPLY, grpc_status="OK") == 3 * received
    assert found.value(f"{SENT}_sum", grpc_method=GET_REPLY, grpc_status="OK") == 3 * sent
    assert found.value(f"{SENT}_bucket", grpc_method=GET_REPLY, le="0.0") == 0
    assert found.value(f"{SENT}_bucket", grpc_method=GET_REPLY, le="1024.0") == 3
    assert found.value(IO, grpc_method=GET_REPLY, network_io_direction="transmit") == 3 * sent
    assert found.value("grpc_server_call_duration_seconds_sum") > 0
    assert found.value("echo_grpc_server_connections_total") == 1
    assert found.value("echo_grpc_server_active_connections") == 1


async def test_messages_of_an_open_call_are_seen_while_it_goes_on() -> None:
    async with measured() as (_, channel, port):
        method = f"{STREAMING}/BidirectionalStream"
        async with chat(channel) as stream:
            for number in range(1, 4):
                await say(stream, "hello")
                found = await scrape(port)
                assert found.value(MESSAGES, grpc_method=method, network_io_direction="receive") == number
                assert found.value(MESSAGES, grpc_method=method, network_io_direction="transmit") == number
                assert found.value(STARTED, grpc_method=method) == 1
                assert found.value(ENDED, grpc_method=method) == 0
                assert found.value("echo_grpc_server_active_calls", grpc_method=method) == 1
            open_bytes = found.value(IO, network_io_direction="transmit")
        found = await scraped_until(port, lambda now: now.value(ENDED))
    assert found.by("grpc_status", ENDED) == {"CANCELLED": 1}
    assert found.value(STARTED) == 1
    assert found.value("echo_grpc_server_active_calls") == 0
    assert found.value(IO, network_io_direction="transmit") == open_bytes


async def test_metrics_are_shown_until_the_drain_is_over() -> None:
    async with measured() as (echo, channel, port), chat(channel) as stream:
        await say(stream, "hello")
        echo.send(signal.SIGTERM)
        await echo.logged("stopping")
        found = await scraped_until(port, lambda now: now.value("echo_grpc_server_drained_connections_total"))
        assert found.value("echo_grpc_server_active_calls") == 1
        await stream.end()
        assert await stream.recv_message() is None
        assert await echo.status() == 0


async def test_the_process_is_described() -> None:
    async with measured() as (echo, _, port):
        found = await scrape(port)
        assert found.value("process_cpu_seconds_total") > 0.05
        assert 10e6 < found.value("process_resident_memory_bytes") < 1e9
        assert 3 < found.value("process_open_fds") < 100 < found.value("process_max_fds")
        again = await scrape(port)
        assert again.value("process_start_time_seconds") == found.value("process_start_time_seconds") > 1.7e9
        (target,) = [sample.labels for sample in found.samples if sample.name == "target_info"]
        assert target["service_name"] == "echo-grpc"
        assert echo.pid > 0


async def test_without_its_setting_there_are_no_metrics() -> None:
    async with running(*SERVE) as echo:
        await echo.grpc_port()
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0
    assert '"metrics"' not in echo.stdout


async def test_made_up_methods_are_one() -> None:
    async with metered() as (server, meters), memory_channel_to(server) as channel:
        before = len(shown(meters).text)
        for number in range(1_000):
            with pytest.raises(GRPCError, match="unknown method"):
                await call(channel, f"/made.Up{number}/Method{number}")
        found = shown(meters)
    assert found.by("grpc_method", STARTED) == {"other": 1_000}
    assert found.by("grpc_status", ENDED) == {"UNIMPLEMENTED": 1_000}
    assert len(found.text) - before < 20_000


async def test_what_is_no_call_of_grpc_is_counted_as_one_of_another_method() -> None:
    async with metered() as (server, meters), serving(server) as port, raw_client(port) as client:
        await client.send(client.head(1, request(content_type="text/html"), end=True))
        await client.send(client.head(3, request("/a/b", te=None, grpc_timeout="rubbish"), end=True))
        await client.heard(1)
        await client.heard(3)
        found = shown(meters)
    assert found.value(STARTED) == found.value(ENDED) == 2
    assert found.value("echo_grpc_server_active_calls") == 0


async def test_deadlines_are_a_status_of_their_own(autojump_clock: trio.testing.MockClock) -> None:
    async with metered() as (server, meters), memory_channel_to(server) as channel:
        stalled = channel.request(
            f"/{STREAMING}/ClientStream", Cardinality.STREAM_UNARY, StreamMessage, StreamResponse, timeout=2
        )
        async with stalled as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            with pytest.raises(GRPCError):
                await stream.recv_message()
        await trio.testing.wait_all_tasks_blocked()
        found = shown(meters)
    assert found.by("grpc_status", ENDED) == {"DEADLINE_EXCEEDED": 1}
    assert found.value("grpc_server_call_duration_seconds_bucket", le="1.0") == 0
    assert found.value("grpc_server_call_duration_seconds_bucket", le="5.0") == 1


async def test_a_client_that_takes_nothing_shows_as_a_stall_and_in_what_is_unsent() -> None:
    async with metered() as (server, meters), serving(server) as port, open_channel("127.0.0.1", port) as channel:
        method = f"{STREAMING}/BidirectionalStream"
        async with chat(channel) as stream, trio.open_nursery() as nursery:

            async def pour() -> None:
                while True:
                    await stream.send_message(StreamMessage(stream_id="a", message="x" * 30_000))

            nursery.start_soon(pour)
            await settles(lambda: shown(meters).value("echo_grpc_server_unsent_bytes") > 0, True, "something waits")
            assert shown(meters).value("echo_grpc_server_active_calls", grpc_method=method) == 1
            with trio.fail_after(30):
                while not shown(meters).value("echo_grpc_server_stalls_total"):
                    await stream.recv_message()
            assert shown(meters).value("echo_grpc_server_stalled_seconds_total") > 0
            nursery.cancel_scope.cancel()


async def test_streams_beyond_the_limit_and_after_a_drain_are_refused_calls() -> None:
    async with (
        metered(Limits(max_concurrent_streams=1)) as (server, meters),
        serving(server) as port,
        raw_client(port) as client,
    ):
        for stream_id in (1, 3, 5):
            await client.send(client.head(stream_id, request(f"/{STREAMING}/ClientStream")))
        await client.heard(5)
        assert shown(meters).by("error_type", "echo_grpc_server_refused_calls_total") == {"too many": 2}
        assert shown(meters).value(STARTED) == 1


async def test_connections_that_break_the_protocol_are_counted_by_its_codes() -> None:
    async with metered() as (server, meters), serving(server) as port:
        async with raw_client(port) as client:
            await client.send(b"\x00\x00\x04\x08\x00\x00\x00\x00\x00" + bytes(4))
            await client.until_closed()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 505")
        await settles(lambda: shown(meters).value("echo_grpc_server_active_connections"), 0, "open connections")
        found = shown(meters)
    assert found.by("error_type", REFUSED) == {
        "PROTOCOL_ERROR": 1,
        "not HTTP/2": 1,
    }
    assert found.value("echo_grpc_server_connections_total") == 2


async def test_failed_tls_handshakes_and_clients_that_never_speak_are_refused_connections(
    tmp_path: Path, quiet_clock: QuietClock
) -> None:
    certificates = Certificates(tmp_path)
    async with metered() as (server, meters), serving_tls(server, certificates.serving()) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"no TLS at all\r\n\r\n")
            while await stream.receive_some():
                pass
        assert shown(meters).by("error_type", REFUSED) == {"TLS handshake": 1}
    async with metered() as (server, meters), serving(server) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            while await stream.receive_some():
                pass
        assert shown(meters).by("error_type", REFUSED) == {"timeout": 1}


async def test_calls_that_come_after_a_drain_are_refused_as_such(quiet_clock: QuietClock) -> None:
    async with metered() as (server, meters), serving(server) as port, raw_client(port) as client:
        await client.send(client.head(1, request(f"/{STREAMING}/ClientStream")))
        await settles(lambda: server.calls, 1, "running calls")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.drain, 60)
            await client.until(lambda: len(client.goaways) == 2)
            await client.send(client.head(3, request(f"/{STREAMING}/ClientStream")))
            await client.heard(3)
            found = shown(meters)
            assert found.by("error_type", "echo_grpc_server_refused_calls_total") == {"draining": 1}
            assert found.value("echo_grpc_server_drained_connections_total") == 1
            await client.close()
        assert shown(meters).by("error_type", "echo_grpc_server_refused_calls_total") == {"draining": 1}
        assert shown(meters).by("grpc_status", ENDED) == {"CANCELLED": 1}
