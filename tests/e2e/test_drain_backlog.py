"""A drain that begins when clients are connected for the kernel but not accepted, or have not said anything yet."""

import socket

import pytest
import trio
import trio.testing
from anyio.abc import SocketAttribute

from echo.pb.com.gopay.echo import Message
from echo.rpc import Server, open_tcp_listener
from echo.services import EchoService
from echo.wire.client import ClientConnection
from echo.wire.events import CallEnded, GoAwayReceived
from echo.wire.head import Request
from echo.wire.limits import Limits
from echo.wire.message import encode_message
from echo.wire.status import Status
from echo.wire.stream import Stream
from tests.support.leaks import settles
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK


def first_words(client: ClientConnection[Stream]) -> bytes:
    """The preface, and a whole call behind it."""
    client.start()
    call = client.open(Request("/com.gopay.echo.Server/GetReply"))
    client.send_message(call, encode_message(bytes(Message("hi"))))
    client.half_close(call)
    return client.take_output()


@pytest.mark.parametrize("accepted", [False, True], ids=["waiting to be accepted", "accepted"])
async def test_a_client_that_is_just_connected_has_its_first_call_answered(accepted: bool) -> None:
    server = Server([EchoService()])
    listener = await open_tcp_listener(LOOPBACK, 0)
    client, ended, told = ClientConnection(Limits(), Stream), list[CallEnded[Stream]](), list[GoAwayReceived]()
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        with socket.create_connection((LOOPBACK, listener.extra(SocketAttribute.local_port))) as early:
            if accepted:
                await settles(lambda: server.connections, 1, "connections of the server")
            nursery.start_soon(server.drain, 60)  # Which runs before the server can look at its sockets again.
            await trio.testing.wait_all_tasks_blocked()
            early.sendall(first_words(client))
            early.setblocking(False)
            with trio.fail_after(20):
                while True:
                    await trio.lowlevel.wait_readable(early)
                    data = early.recv(65_536)
                    if not data:
                        break
                    for event in client.receive(data):
                        if isinstance(event, CallEnded):
                            ended.append(event)
                        elif isinstance(event, GoAwayReceived):
                            told.append(event)
                    early.sendall(client.take_output())
    assert [event.trailers.status for event in ended] == [Status.OK]
    assert told


async def test_a_client_that_is_connected_and_silent_does_not_hold_up_the_drain(quiet_clock: QuietClock) -> None:
    server = Server([EchoService()])
    listener = await open_tcp_listener(LOOPBACK, 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        with socket.create_connection((LOOPBACK, listener.extra(SocketAttribute.local_port))):
            await settles(lambda: server.connections, 1, "connections of the server")
            began = trio.current_time()
            await server.drain(60)
            assert trio.current_time() - began < 5
