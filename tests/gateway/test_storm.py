"""A storm: many clients open WebSockets at once, as after the restart of a proxy. Others are served in between."""

import os
import socket

import pytest
import trio
import trio.testing

from tests.gateway.hypercorn_compat.clients import UPGRADE, get, heard
from tests.support.gateway import running_gateway
from tests.support.leaks import settles
from tests.support.serving import LOOPBACK

pytestmark = pytest.mark.usefixtures("nothing_left")

CLIENTS = 200


def connected(port: int) -> trio.SocketStream:
    """A connection, which the gateway need not have accepted yet."""
    return trio.SocketStream(trio.socket.from_stdlib_socket(socket.create_connection((LOOPBACK, port))))


@pytest.mark.parametrize("on", ["open connections", "new connections"])
async def test_a_health_check_does_not_wait_for_all_handshakes_that_came_before_it(on: str) -> None:
    opened = 0

    async def open_websocket(client: trio.SocketStream) -> None:
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
            os.write(client.socket.fileno(), get(*UPGRADE, path="/ws/stream/bidirectional"))
            nursery.start_soon(open_websocket, client)
        os.write(probe.socket.fileno(), get(path="/healthz"))
        async with probe:
            assert (await heard(probe, b"Hello!"))[0].startswith(b"HTTP/1.1 200 ")
        assert opened < CLIENTS / 2
        await settles(lambda: opened, CLIENTS, "open WebSockets")
        over.set()
