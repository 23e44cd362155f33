"""Several servers, and servers on Unix sockets, over real sockets."""

import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from anyio.abc import SocketAttribute, TaskGroup

from echo.rpc import Channel, GRPCError, Server, Status, open_channel, open_tcp_listener
from tests.support.services import CODEC, ECHO, UNARY, BytesStream, Service, call, on_both_loops, unary
from tests.support.tls import Certificates

HOSTS = ("127.0.0.1", "127.0.0.2")  # Both are the loopback's.


class Named:
    """A server that answers with its name; it can be killed, and started again at the same port."""

    def __init__(self, host: str, tasks: TaskGroup) -> None:
        self.host = host
        self.port = 0
        self.authorities: set[str | None] = set()
        self._tasks = tasks
        self._alive = anyio.CancelScope()

    async def start(self) -> None:
        listener = await open_tcp_listener(self.host, self.port)
        self.port = listener.extra(SocketAttribute.local_port)
        self._alive = anyio.CancelScope()
        await self._tasks.start(self._serve, listener)

    async def _serve(self, listener: Any, *, task_status: Any) -> None:
        with self._alive:
            await Server([Service(Name=(UNARY, self._name))], codec=CODEC).serve(listener, task_status=task_status)

    def kill(self) -> None:
        self._alive.cancel()

    async def _name(self, stream: BytesStream) -> None:
        await stream.recv_message()
        await stream.send_message(self.host.encode())

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@asynccontextmanager
async def two_servers() -> AsyncIterator[list[Named]]:
    async with anyio.create_task_group() as tasks:
        servers = [Named(host, tasks) for host in HOSTS]
        for server in servers:
            await server.start()
        yield servers
        tasks.cancel_scope.cancel()


async def answers(channel: Channel, count: int) -> dict[bytes, int]:
    return Counter([await unary(channel, "Name") for _ in range(count)])


@pytest.mark.parametrize("form", ["sequence", "string"])
@on_both_loops
async def test_a_killed_server_s_share_moves_and_comes_back_with_it(form: str) -> None:
    async with two_servers() as servers:
        hosts = [str(server) for server in servers]
        async with open_channel(
            hosts if form == "sequence" else ",".join(hosts), balance="round_robin", codec=CODEC
        ) as channel:
            while len(await answers(channel, 2)) < 2:
                pass
            assert await answers(channel, 20) == {b"127.0.0.1": 10, b"127.0.0.2": 10}
            servers[0].kill()
            while channel.connections == 2:
                await anyio.lowlevel.checkpoint()
            assert await answers(channel, 50) == {b"127.0.0.2": 50}
            await servers[0].start()
            while len(await answers(channel, 2)) < 2:
                pass
            assert await answers(channel, 20) == {b"127.0.0.1": 10, b"127.0.0.2": 10}


@on_both_loops
async def test_calls_under_way_when_a_server_is_killed_are_all_that_fail() -> None:
    """Each of ten workers has one call under way at a time: at most so many can fail."""

    failed = 0
    made = 0

    async def work(channel: Channel) -> None:
        nonlocal failed, made
        while made < 500:
            made += 1
            try:
                await unary(channel, "Name")
            except GRPCError as error:
                assert error.status is Status.UNAVAILABLE
                failed += 1

    async with two_servers() as servers:
        hosts = [str(server) for server in servers]
        async with open_channel(hosts, balance="round_robin", codec=CODEC) as channel:
            await unary(channel, "Name")
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(work, channel)
                while made < 100:
                    await anyio.lowlevel.checkpoint()
                servers[0].kill()
            assert failed <= 10
            assert await answers(channel, 10) == {b"127.0.0.2": 10}


@on_both_loops
async def test_the_first_host_that_answers_is_called() -> None:
    async with two_servers() as servers, open_channel([str(server) for server in servers], codec=CODEC) as channel:
        assert await answers(channel, 10) == {b"127.0.0.1": 10}
        servers[0].kill()
        while channel.connections:
            await anyio.lowlevel.checkpoint()
        assert await answers(channel, 10) == {b"127.0.0.2": 10}
        assert channel.target == ",".join(map(str, servers))


@on_both_loops
async def test_each_server_receives_the_name_it_was_called_by() -> None:
    heard: set[str] = set()

    async def hear(stream: BytesStream) -> None:
        heard.add(stream._call.request.authority)
        await stream.send_message(b"")

    server = Server([Service(Hear=(UNARY, hear))], codec=CODEC)
    async with anyio.create_task_group() as tasks:
        listener = await open_tcp_listener("127.0.0.1", 0)
        port = listener.extra(SocketAttribute.local_port)
        await tasks.start(server.serve, listener)
        async with open_channel(["localhost", "127.0.0.1"], port, balance="round_robin", codec=CODEC) as channel:
            while len(heard) < 2:
                await unary(channel, "Hear")
        tasks.cancel_scope.cancel()
    assert heard == {f"localhost:{port}", f"127.0.0.1:{port}"}


@on_both_loops
async def test_a_server_can_be_called_by_a_name_other_than_its_address() -> None:
    heard: list[str] = []

    async def hear(stream: BytesStream) -> None:
        heard.append(stream._call.request.authority)
        await stream.send_message(b"")

    async with anyio.create_task_group() as tasks:
        listener = await open_tcp_listener("127.0.0.1", 0)
        await tasks.start(Server([Service(Hear=(UNARY, hear))], codec=CODEC).serve, listener)
        port = listener.extra(SocketAttribute.local_port)
        async with open_channel("127.0.0.1", port, authority="shop.example:443", codec=CODEC) as channel:
            await unary(channel, "Hear")
            assert (channel.target, channel.authority) == (f"127.0.0.1:{port}", "shop.example:443")
        tasks.cancel_scope.cancel()
    assert heard == ["shop.example:443"]


async def test_the_certificate_must_be_for_the_authority(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)  # For localhost.
    async with anyio.create_task_group() as tasks:
        listener = await open_tcp_listener("127.0.0.2", 0, tls=certificates.serving())
        await tasks.start(Server([ECHO], codec=CODEC).serve, listener)
        host, tls = f"127.0.0.2:{listener.extra(SocketAttribute.local_port)}", certificates.calling()
        async with open_channel(host, tls=tls, authority="localhost:1", codec=CODEC) as channel:
            await unary(channel, "One")
        async with open_channel(host, tls=tls, authority="shop.example", codec=CODEC) as channel:
            with pytest.raises(GRPCError, match=r"certificate is not valid for 'shop\.example'"):
                await unary(channel, "One")
        async with open_channel(
            host, tls=tls, authority="shop.example", server_hostname="localhost", codec=CODEC
        ) as channel:
            await unary(channel, "One")
        tasks.cancel_scope.cancel()


async def test_an_invalid_authority_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="the authority 'http://a' is not HOST or HOST:PORT"):
        async with open_channel("localhost", authority="http://a"):
            pass


async def test_a_server_with_another_name_in_its_certificate_gets_no_calls(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    server = Server([ECHO], codec=CODEC)
    async with anyio.create_task_group() as tasks:
        hosts: list[str] = []
        for host in HOSTS:
            listener = await open_tcp_listener(host, 0, tls=certificates.serving())
            await tasks.start(server.serve, listener)
            hosts.append(f"{host}:{listener.extra(SocketAttribute.local_port)}")
        async with open_channel(hosts, tls=certificates.calling(), balance="round_robin", codec=CODEC) as channel:
            for _ in range(10):
                await unary(channel, "One")
            assert server.connections == 1
        async with open_channel(hosts[1], tls=certificates.calling(), codec=CODEC) as channel:
            with pytest.raises(GRPCError, match=r"certificate is not valid for '127\.0\.0\.2'"):
                await unary(channel, "One")
        async with open_channel(
            hosts[1], tls=certificates.calling(), server_hostname="localhost", codec=CODEC
        ) as channel:
            await unary(channel, "One")
        async with open_channel(hosts, tls=certificates.calling(), server_hostname=".no.name", codec=CODEC) as channel:
            with pytest.raises(GRPCError, match="TLS handshake failed: server_hostname"):
                await unary(channel, "One")
        tasks.cancel_scope.cancel()


# Unix sockets


@pytest.mark.parametrize("form", ["unix:{}", "unix://{}"])
@on_both_loops
async def test_calls_over_a_unix_socket(tmp_path: Path, form: str) -> None:
    heard: list[str] = []

    async def hear(stream: BytesStream) -> None:
        heard.append(stream._call.request.authority)
        await stream.send_message(b"")

    path = tmp_path / "echo.sock"
    server = Server([Service(Hear=(UNARY, hear))], codec=CODEC)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, await anyio.create_unix_listener(path))
        async with open_channel(form.format(path), codec=CODEC) as channel:
            await unary(channel, "Hear")
            assert (channel.target, channel.authority) == (f"unix:{path}", "localhost")
        tasks.cancel_scope.cancel()
    assert heard == ["localhost"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets")
@on_both_loops
async def test_calls_over_an_abstract_unix_socket() -> None:
    name = f"echo-test-{uuid4()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        listener.setblocking(False)
        async with anyio.create_task_group() as tasks:

            async def serve() -> None:
                await anyio.wait_readable(listener)
                connection, _ = listener.accept()
                stream = await anyio.abc.UNIXSocketStream.from_socket(connection)
                await Server([ECHO], codec=CODEC).serve_connection(stream)

            tasks.start_soon(serve)
            async with open_channel(f"unix-abstract:{name}", codec=CODEC) as channel:
                assert await unary(channel, "One", b"hello") == b"hello"
                assert channel.target == f"unix-abstract:{name}"
                async with call(channel, "One", UNARY) as stream:
                    await stream.send_message(b"hello", end=True)
                    assert str(stream.peer) == f"@{name}"
            tasks.cancel_scope.cancel()


@on_both_loops
async def test_a_unix_socket_that_is_not_there_is_unavailable_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    async with open_channel(f"unix:{path}", codec=CODEC) as channel:
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
    assert raised.value.status is Status.UNAVAILABLE
    assert raised.value.message == f"cannot connect to unix:{path}: No such file or directory"
