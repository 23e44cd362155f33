"""A storm: many clients come at once, as after the restart of a proxy. Others are served in between."""

import os
import socket

import pytest
import trio
import trio.testing

from echo.gateway.hypercorn_compat import REQUEST_TIMEOUT
from echo.gateway.hypercorn_compat.pace import Slots
from tests.gateway.hypercorn_compat.clients import UPGRADE, get, heard
from tests.support.gateway import http_get_on, running_gateway
from tests.support.leaks import settles
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK
from tests.support.streams import HELLO
from tests.support.websocket import open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

CLIENTS = 200
BIDIRECTIONAL = "/ws/stream/bidirectional"


def connected(port: int) -> trio.SocketStream:
    """A connection, which the gateway need not have accepted yet."""
    return trio.SocketStream(trio.socket.from_stdlib_socket(socket.create_connection((LOOPBACK, port))))


@pytest.mark.parametrize("on", ["open connections", "new connections"])
async def test_a_health_check_does_not_wait_for_all_handshakes_that_came_before_it(on: str) -> None:
    opened = 0

    async def upgraded(client: trio.SocketStream) -> None:
        nonlocal opened
        async with client:
            head, _ = await heard(client, b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            opened += 1
            await over.wait()

    async with running_gateway() as gateway, trio.open_nursery() as nursery:
        over = trio.Event()
        *clients, probe = [connected(gateway.port) for _ in range(CLIENTS + 1)]
        if on == "open connections":
            await trio.testing.wait_all_tasks_blocked()
        for client in clients:  # Nothing is awaited, so all of them arrive together.
            os.write(client.socket.fileno(), get(*UPGRADE, path=BIDIRECTIONAL))
            nursery.start_soon(upgraded, client)
        os.write(probe.socket.fileno(), get(path="/healthz"))
        async with probe:
            assert (await heard(probe, b"Hello!"))[0].startswith(b"HTTP/1.1 200 ")
        assert opened < CLIENTS / 2
        await settles(lambda: opened, CLIENTS, "open WebSockets")
        over.set()


async def test_a_message_does_not_wait_for_all_requests_that_came_before_it() -> None:
    answered = 0

    async def request(client: trio.SocketStream) -> None:
        nonlocal answered
        async with client:
            assert (await heard(client, b"Hello!"))[0].startswith(b"HTTP/1.1 200 ")
            answered += 1

    async with running_gateway() as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        clients = [connected(gateway.port) for _ in range(2 * CLIENTS)]
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            for client in clients:
                os.write(client.socket.fileno(), get(path="/healthz"))
                nursery.start_soon(request, client)
            await socket.send(HELLO)
            assert "from server: hi" in str(await socket.receive())
            assert answered < CLIENTS


async def test_a_request_that_comes_alone_waits_for_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Slots, "wait")
    async with running_gateway() as gateway:
        assert (await gateway.get("/healthz")).status == 200
        async with open_websocket(gateway.port, BIDIRECTIONAL):
            pass


async def test_a_request_that_waits_for_its_slot_is_not_late(
    clock: QuietClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(_: Slots) -> None:
        await trio.sleep(2 * REQUEST_TIMEOUT)

    monkeypatch.setattr(Slots, "take", lambda _: False)
    monkeypatch.setattr(Slots, "wait", wait)
    async with running_gateway() as gateway:
        assert (await http_get_on(gateway.port, "/healthz")).status == 200
