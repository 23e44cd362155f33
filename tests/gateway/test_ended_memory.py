"""Connections that have ended are freed at once: a full garbage collection, which would free them, may be far away."""

import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

import pytest
import trio

from echo.gateway.hypercorn_compat.connection import Connection
from echo.gateway.hypercorn_compat.websocket_stream import WebSocketStream
from tests.gateway.hypercorn_compat.clients import UPGRADE, get, heard, upgraded
from tests.support.frames import TEXT, frame
from tests.support.gateway import http_get_on, running_gateway
from tests.support.http2 import open_http2, websocket_over
from tests.support.serving import LOOPBACK
from tests.support.streams import HELLO
from tests.support.websocket import Closed, Rejected, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left", "no_collections")

BIDIRECTIONAL = "/ws/stream/bidirectional"


def alive() -> list[object]:
    return [thing for thing in gc.get_objects() if isinstance(thing, Connection | WebSocketStream)]


async def request(port: int) -> None:
    assert (await http_get_on(port, "/healthz")).status == 200


async def refused_handshake(port: int) -> None:
    with pytest.raises(Rejected):
        async with open_websocket(port, BIDIRECTIONAL, [("Origin", "https://elsewhere.test")]):
            pass


async def websocket_closed_by_the_client(port: int) -> None:
    async with open_websocket(port, BIDIRECTIONAL) as socket:
        await socket.send(HELLO)
        await socket.receive()
        await socket.close()


async def lost_websocket(port: int) -> None:
    async with open_websocket(port, BIDIRECTIONAL) as socket:
        await socket.send(HELLO)
        await socket.receive()


async def websocket_closed_by_the_gateway(port: int) -> None:
    async with open_websocket(port, "/ws/stream/client") as socket:
        await socket.send("")
        assert "received 0 messages" in str(await socket.receive())
        assert await socket.receive() == Closed(1000)


async def websocket_over_http2(port: int) -> None:
    async with open_http2(port) as http2:
        socket = await websocket_over(http2, BIDIRECTIONAL)
        await socket.send(HELLO)
        await socket.receive()
        await socket.close()


@pytest.mark.parametrize(
    "connect",
    [
        request,
        refused_handshake,
        websocket_closed_by_the_client,
        lost_websocket,
        websocket_closed_by_the_gateway,
        websocket_over_http2,
    ],
)
async def test_a_connection_that_has_ended_is_freed_without_a_garbage_collection(
    connect: Callable[[int], Awaitable[None]],
) -> None:
    before = alive()  # What another test has left, for instance in a log record.
    async with running_gateway() as gateway:
        await connect(gateway.port)
    assert [thing for thing in alive() if thing not in before] == []


async def fault_in_a_request(port: int) -> None:
    with suppress(trio.BrokenResourceError):
        async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
            await stream.send_all(get(*UPGRADE, path=BIDIRECTIONAL))
            assert not await stream.receive_some()


async def fault_in_a_request_over_http2(port: int) -> None:
    async with open_http2(port) as http2:
        with suppress(EOFError):
            await websocket_over(http2, BIDIRECTIONAL)


async def fault_in_a_frame(port: int) -> None:
    async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
        await upgraded(stream, path=BIDIRECTIONAL)
        await stream.send_all(frame(TEXT, HELLO.encode()))
        await heard(stream)


async def fault_in_a_frame_over_http2(port: int) -> None:
    async with open_http2(port) as http2:
        socket = await websocket_over(http2, BIDIRECTIONAL)
        await socket.send(HELLO)
        with suppress(EOFError):
            await socket.receive()


@pytest.mark.parametrize(
    ("connect", "at"),
    [
        (fault_in_a_request, "handshake.Handshake.refusal"),
        (fault_in_a_request_over_http2, "handshake.Handshake.refusal"),
        (fault_in_a_frame, "frames.FrameReader.read"),
        (fault_in_a_frame_over_http2, "frames.FrameReader.read"),
    ],
)
async def test_one_that_a_fault_has_ended_is_too(
    connect: Callable[[int], Awaitable[None]],
    at: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("a fault")

    monkeypatch.setattr(f"echo.gateway.hypercorn_compat.{at}", fail)
    before = alive()
    async with running_gateway() as gateway:
        await connect(gateway.port)
    assert "a connection was ended by a fault: RuntimeError('a fault')" in caplog.text
    assert [thing for thing in alive() if thing not in before] == []
