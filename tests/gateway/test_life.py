"""Liveness: pings, silent peers, peers that do not read, long calls, and ends that no one waits for."""

import json
import os
from contextlib import suppress

import pytest
import trio
import trio.testing
from wsproto.utilities import LocalProtocolError

from echo.gateway.hypercorn_compat import CLOSE_GRACE, CLOSE_TIMEOUT, PATIENCE
from tests.support.gateway import http_get_on, running_gateway
from tests.support.quiet_clock import QuietClock, quiet
from tests.support.streams import HELLO, MUCH, Patient, Unhurried, send_until_stuck
from tests.support.websocket import Closed, WebSocket, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

PING_INTERVAL = 27  # Seconds, by default.
BIDIRECTIONAL = "/ws/stream/bidirectional"
SERVER = "/ws/stream/server"


async def everything(socket: WebSocket) -> bytes:
    """What comes until the end of the connection."""
    return b"".join([data async for data in socket.stream])


async def answer_pings(socket: WebSocket) -> None:
    await socket.receive()


async def test_an_idle_but_live_socket_stays_open_for_hours(clock: QuietClock) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_pings, socket)
            began = trio.current_time()
            await trio.sleep(3 * 3600 + 1)
            assert socket.pings == (trio.current_time() - began) // PING_INTERVAL > 300
            nursery.cancel_scope.cancel()
        await socket.send(HELLO)
        assert '"response":"from server: hi"' in str(await socket.receive())


async def test_a_live_socket_stays_open_with_pings_that_are_further_apart_than_a_minute(clock: QuietClock) -> None:
    async with (
        running_gateway(HTTP_PING_INTERVAL="5m") as gateway,
        open_websocket(gateway.port, BIDIRECTIONAL) as socket,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer_pings, socket)
        await trio.sleep(3600 + 1)
        assert socket.pings == 12
        nursery.cancel_scope.cancel()


async def test_a_peer_without_a_sign_of_life_is_dropped_and_its_call_cancelled(clock: QuietClock) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send(HELLO)
        await socket.receive()
        silent_since = trio.current_time()
        await service.ended.wait()  # The client is there, but answers no ping.
        assert PATIENCE <= service.ended_at - silent_since < PATIENCE + 1
        assert await everything(socket) == 2 * b"\x89\x00"  # Pings it did get.


async def test_the_time_in_which_the_process_was_stopped_is_not_the_peers_silence(clock: QuietClock) -> None:
    """As by SIGSTOP or `docker pause`: no ping was sent, and nothing that has arrived was read."""
    async with running_gateway() as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_pings, socket)
            for _ in range(10):
                await trio.sleep(PING_INTERVAL / 2)
                clock.jump(2 * PATIENCE)
                await trio.sleep(PING_INTERVAL)
            nursery.cancel_scope.cancel()
        await socket.send(HELLO)
        assert '"response":"from server: hi"' in str(await socket.receive())


async def test_a_peer_that_stays_silent_after_the_process_was_stopped_is_dropped(clock: QuietClock) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send(HELLO)
        await socket.receive()
        clock.jump(2 * PATIENCE)
        woken_at = trio.current_time()
        await service.ended.wait()
        assert PATIENCE <= service.ended_at - woken_at < PATIENCE + 1


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["new", "kept"])
async def test_a_request_that_arrived_while_the_process_was_stopped_is_answered(sent: bytes, clock: QuietClock) -> None:
    clock.jumping = False
    async with running_gateway() as gateway:
        for _ in range(10):  # Each time, trio may run the tasks in another order.
            async with await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
                if sent:
                    await stream.send_all(sent)
                await quiet()
                clock.jump(3600)
                os.write(stream.socket.fileno(), b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                data = b"".join([data async for data in stream])
                assert data.count(b"Hello!") == (2 if sent else 1)


async def test_any_byte_is_a_sign_of_life(clock: QuietClock) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        for byte in b"\x81\xa0\x00\x00\x00\x00" + HELLO.encode():
            await trio.sleep(PATIENCE - 1)
            await socket.stream.send_all(bytes([byte]))
        assert '"response":"hi"' in str(await socket.receive())


async def test_a_peer_that_takes_nothing_is_dropped_though_a_send_to_it_is_stuck(
    clock: QuietClock,
) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, open_websocket(gateway.port, SERVER) as socket:
        await socket.send(HELLO)
        await service.started.wait()
        await service.ended.wait()
        assert service.ended_at < 2 * PATIENCE


async def test_a_peer_that_reads_slowly_is_alive(clock: QuietClock) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, open_websocket(gateway.port, SERVER) as socket:
        await socket.send(HELLO)
        await service.stands_still()
        for _ in range(20):  # Ever behind by megabytes: what pings there are among them it gets far too late.
            await trio.sleep(PATIENCE / 3)
            taken = 0
            while taken < 1_000_000:
                data = await socket.stream.receive_some(1_000_000 - taken)
                assert data
                taken += len(data)
        assert not service.ended.is_set()
        stopped_at = trio.current_time()
        await service.ended.wait()
        assert service.ended_at - stopped_at < 2 * PATIENCE


async def test_a_peer_that_vanishes_while_the_server_takes_nothing_from_it_is_missed(
    clock: QuietClock,
) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send('{"stream_id":"a","message":"deaf"}')
        await send_until_stuck(socket, MUCH)
        await socket.reset()
        left_at = trio.current_time()
        await service.ended.wait()  # Nobody reads from the socket; that it can't be written to has to do.
        assert service.ended_at - left_at <= PATIENCE


async def test_a_long_call_over_http_is_not_cut_off(clock: QuietClock) -> None:
    async with running_gateway([Unhurried()]) as gateway:
        answer = await http_get_on(gateway.port, f"/grpc/{3 * PATIENCE}", {"Grpc-Timeout": "1H"})
        assert answer.status == 200
        assert answer.body.endswith(b":at last:success:true")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_connection_without_keep_alive_is_closed_after_the_response(version: str, clock: QuietClock) -> None:
    async with running_gateway() as gateway, await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
        await stream.send_all(f"GET /healthz HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert b"".join([data async for data in stream]).endswith(b"Hello!")
        assert trio.current_time() < 1


@pytest.mark.parametrize(
    ("requests", "setting", "seconds"),
    [(0, "10m20s", 5), (1, "10m20s", 620), (2, "10m20s", 620), (0, "2s", 2), (1, "2s", 2)],
)
async def test_an_idle_connection_over_http_is_closed(
    requests: int, setting: str, seconds: int, clock: QuietClock
) -> None:
    async with (
        running_gateway(HTTP_MAX_CONNECTION_IDLE=setting) as gateway,
        await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream,
    ):
        for _ in range(requests):
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b"".join([data async for data in stream])
        assert data.count(b"Hello!") == requests
        assert seconds <= trio.current_time() < seconds + 1


@pytest.mark.parametrize("setting", ["", "off"], ids=["by default", "off"])
async def test_a_connection_may_be_idle_for_longer_than_load_balancers_keep_it(setting: str, clock: QuietClock) -> None:
    async with (
        running_gateway(HTTP_MAX_CONNECTION_IDLE=setting) as gateway,
        await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream,
    ):
        for _ in range(3):
            await trio.sleep(1)
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while not received.endswith(b"Hello!"):
                received += await stream.receive_some()
            await trio.sleep(610)  # Of those that are widely used, Google's keep it longest: ten minutes.


async def test_a_client_that_does_not_answer_the_close_frame_is_not_waited_for(clock: QuietClock) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        began = trio.current_time()
        await socket.send("")
        assert await everything(socket) == b"\x88\x02\x03\xe8"
        assert CLOSE_TIMEOUT <= trio.current_time() - began < CLOSE_TIMEOUT + CLOSE_GRACE


async def test_a_client_that_keeps_sending_hears_why_its_call_ended() -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send('{"message":"no stream id"}')
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_much, socket)
            assert await socket.receive() == Closed(1011, "INVALID_ARGUMENT: stream_id is required")
            nursery.cancel_scope.cancel()


async def send_much(socket: WebSocket) -> None:
    with suppress(LocalProtocolError, trio.BrokenResourceError):  # As soon as the other task has answered the close.
        for _ in range(20_000):
            await socket.send(HELLO)


async def test_everything_that_was_sent_before_a_pause_arrives_after_it() -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, open_websocket(gateway.port, SERVER) as socket:
        await socket.send(HELLO)
        sent = await service.stands_still()
        assert sent * 10_000 < 16_000_000  # What the windows and the kernel's buffers hold.
        numbers = [json.loads(str(await socket.receive()))["sequence_number"] for _ in range(sent + 500)]
        assert numbers == list(range(1, sent + 501))


@pytest.mark.parametrize("target", [BIDIRECTIONAL, "/ws/stream/client"])
async def test_a_client_that_does_not_read_the_answers_to_invalid_messages_is_not_read_any_more(
    target: str, clock: QuietClock
) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, target, buffer=4096) as socket:
        await send_until_stuck(socket, "nonsense", most=100_000)
