"""The graceful drain: first readiness, then the grace period, then every client gets a close frame or an answer."""

import pytest
import trio
import trio.testing

from echo.gateway.hypercorn_compat import CLOSE_GRACE
from tests.support.gateway import gateway_to, http_get_on, running_gateway
from tests.support.quiet_clock import QuietClock
from tests.support.streams import HELLO, MUCH, Patient, Unhurried, send_until_stuck
from tests.support.websocket import Closed, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

BIDIRECTIONAL = "/ws/stream/bidirectional"
GOING_AWAY = Closed(1001, "going away")


async def test_within_the_grace_period_all_goes_on_and_then_sockets_are_closed_1001(
    clock: QuietClock,
) -> None:
    service = Patient()
    async with (
        running_gateway([service, Unhurried()], SHUTDOWN_GRACE="10s") as gateway,
        open_websocket(gateway.port, BIDIRECTIONAL) as old,
    ):
        gateway.stop.set()
        stopped_at = trio.current_time()
        await trio.sleep(5)
        async with open_websocket(gateway.port, BIDIRECTIONAL) as new:
            for socket in (old, new):
                await socket.send(HELLO)
                assert '"response":"hi"' in str(await socket.receive())
            assert (await http_get_on(gateway.port, "/grpc/1")).status == 200
            for socket in (old, new):
                assert await socket.receive() == GOING_AWAY
                assert 10 <= trio.current_time() - stopped_at < 11
        await gateway.stopped.wait()
        assert trio.current_time() - stopped_at < 11  # Both have answered the close frame; nobody is waited for.
        assert service.cancelled == 2


async def test_readiness_goes_first_while_the_gateway_lives_on(clock: QuietClock) -> None:
    async with (
        running_gateway(SHUTDOWN_GRACE="10s") as gateway,
        open_websocket(gateway.port, BIDIRECTIONAL) as socket,
    ):
        assert (await http_get_on(gateway.port, "/readyz")).status == 200
        gateway.stop.set()
        await trio.testing.wait_all_tasks_blocked()
        ready = await http_get_on(gateway.port, "/readyz")
        assert (ready.status, ready.body) == (503, b"the gateway is going away")
        alive = await http_get_on(gateway.port, "/healthz")
        assert (alive.status, alive.body, alive.headers["connection"]) == (200, b"Hello!", "close")
        assert await socket.receive() == GOING_AWAY


async def test_it_ends_at_once_when_nothing_is_being_done(clock: QuietClock) -> None:
    async with running_gateway(SHUTDOWN_GRACE="1h") as gateway:
        assert (await http_get_on(gateway.port, "/grpc/hi")).status == 200
        stopped_at = trio.current_time()
        gateway.stop.set()
        await gateway.stopped.wait()
        assert trio.current_time() - stopped_at <= CLOSE_GRACE


async def test_a_request_that_is_under_way_when_it_stops_is_served(clock: QuietClock) -> None:
    async with running_gateway(SHUTDOWN_GRACE="10s") as gateway:
        async with await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
            gateway.stop.set()
            await trio.sleep(CLOSE_GRACE / 2)  # Nothing is accepted any more, but this was before.
            await stream.send_all(b"GET /grpc/hi HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b"".join([data async for data in stream])
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b":from server:hi:success:true")
        await gateway.stopped.wait()


async def test_it_ends_with_the_last_call(clock: QuietClock) -> None:
    async with (
        running_gateway([Patient(), Unhurried()], SHUTDOWN_GRACE="1h") as gateway,
        open_websocket(gateway.port, BIDIRECTIONAL) as socket,
        trio.open_nursery() as nursery,
    ):
        statuses: list[int] = []

        async def call() -> None:
            statuses.append((await http_get_on(gateway.port, "/grpc/3", {"Grpc-Timeout": "1H"})).status)

        nursery.start_soon(call)
        await trio.sleep(1)
        gateway.stop.set()
        await trio.sleep(1)
        await socket.send("")
        assert await socket.receive() == Closed(1000)
        await gateway.stopped.wait()
        assert 3 <= trio.current_time() < 5
        assert statuses == [200]


async def test_a_call_over_http_that_outlasts_the_grace_period_is_answered_503(clock: QuietClock) -> None:
    service = Unhurried()
    async with running_gateway([service], SHUTDOWN_GRACE="2s") as gateway, trio.open_nursery() as nursery:
        nursery.start_soon(stop_later, gateway.stop)
        answer = await http_get_on(gateway.port, "/grpc/3600", {"Grpc-Timeout": "2H"})
        assert answer.status == 503
        assert answer.body == b'{"code":14,"status":"UNAVAILABLE","message":"going away"}'
        assert 3 <= trio.current_time() < 4
        await gateway.stopped.wait()
        assert service.cancelled


async def stop_later(stop: trio.Event) -> None:
    await trio.sleep(1)
    stop.set()


@pytest.mark.parametrize("how", ["drained", "cancelled"])
async def test_clients_that_take_nothing_do_not_hold_up_the_end(how: str, clock: QuietClock) -> None:
    service = Patient()
    async with (
        running_gateway([service], SHUTDOWN_GRACE="1s") as gateway,
        open_websocket(gateway.port, "/ws/stream/server") as unread,
        open_websocket(gateway.port, BIDIRECTIONAL) as full,
        open_websocket(gateway.port, BIDIRECTIONAL),  # One that answers nothing.
    ):
        await unread.send(HELLO)
        await full.send('{"stream_id":"a","message":"deaf"}')
        await send_until_stuck(full, MUCH)
        assert await service.stands_still() > 0
        stopped_at = trio.current_time()
        if how == "drained":
            gateway.stop.set()
        else:
            gateway.scope.cancel()
        await gateway.stopped.wait()
        assert trio.current_time() - stopped_at <= 1 + 2 * CLOSE_GRACE + 0.5


async def test_cancelling_it_says_goodbye_too(clock: QuietClock) -> None:
    async with running_gateway([Patient()]) as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send(HELLO)
        await socket.receive()
        gateway.scope.cancel()
        assert await socket.receive() == GOING_AWAY
        with trio.fail_after(CLOSE_GRACE / 2):  # It does not wait longer for those who answer.
            await gateway.stopped.wait()


async def test_a_taken_port_is_an_error_before_anything_starts() -> None:
    async with running_gateway() as gateway:
        with pytest.RaisesGroup(OSError, flatten_subgroups=True, allow_unwrapped=True):
            async with gateway_to(1, HTTP_PORT=str(gateway.port)):
                raise AssertionError("it has started")
