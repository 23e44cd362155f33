"""Connections that another process has accepted are served like our own, and reported when they close."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from echo.rpc import Server, open_channel
from echo.transport import SourceListener, open_tcp_listener
from tests.support.accepting import connected, reset
from tests.support.handing import PassedOn
from tests.support.leaks import no_leaks, settles
from tests.support.services import UNARY, BytesCodec, BytesStream, Service, path
from tests.support.serving import LOOPBACK
from tests.support.tls import Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


async def one(stream: BytesStream) -> None:
    await stream.send_message(await stream.recv_message() or b"")


@asynccontextmanager
async def serving(certificates: Certificates | None = None) -> AsyncIterator[tuple[PassedOn, Server]]:
    server = Server([Service(One=(UNARY, one))], codec=BytesCodec())
    async with no_leaks() as leaks, trio.open_nursery() as nursery:
        leaks.watch(server)
        source = PassedOn(await open_tcp_listener(LOOPBACK, 0))
        nursery.start_soon(source.run)
        tls = certificates.serving() if certificates is not None else None
        await nursery.start(server.serve, SourceListener(source, tls=tls))
        yield source, server
        await server.drain(1)
        assert source.ended == source.begun


async def ask(port: int, certificates: Certificates | None = None) -> bytes | None:
    tls = certificates.calling() if certificates is not None else None
    async with (
        open_channel(LOOPBACK, port, codec=BytesCodec(), tls=tls, server_hostname="localhost") as channel,
        channel.request(path("One"), UNARY, bytes, bytes, timeout=60) as stream,
    ):
        await stream.send_message(b"hi")
        return await stream.recv_message()


async def test_an_accepted_connection_is_served_and_reported_when_it_closes() -> None:
    async with serving() as (source, _):
        assert await ask(source.port) == b"hi"
        await settles(lambda: source.ended, 1, "connections ended")


async def test_an_accepted_connection_may_use_tls(certificates: Certificates) -> None:
    async with serving(certificates) as (source, _):
        assert await ask(source.port, certificates) == b"hi"
        await settles(lambda: source.ended, 1, "connections ended")


async def test_a_failed_handshake_is_reported_as_closed(certificates: Certificates) -> None:
    async with serving(certificates) as (source, _):
        async with await trio.open_tcp_stream(LOOPBACK, source.port) as stream:
            await stream.send_all(b"\x16\x03\x01\x00\x05hello")
            assert await stream.receive_some() != b"hi"
        await settles(lambda: source.ended, 1, "connections ended")


async def test_a_client_that_left_before_it_was_served_is_reported_as_closed() -> None:
    async with serving() as (source, _):
        with socket.create_server((LOOPBACK, 0)) as listening, connected(listening.getsockname()[1]) as client:
            accepted = listening.accept()[0]
            reset(client)
        source.hand_over(accepted)
        assert await ask(source.port) == b"hi"
        await settles(lambda: source.ended, 2, "connections ended")


async def test_a_drain_serves_connections_that_are_already_on_their_way() -> None:
    async with serving() as (source, server):
        async with await trio.open_tcp_stream(LOOPBACK, source.port) as stream:
            await server.drain(1)
            goaway = b"".join([data async for data in stream])
        assert b"\x07" in goaway
        assert source.begun == source.ended == 1
