"""A function in the place of a TLS context: it is called for each connection, so that certificates can change."""

import logging
import ssl
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute

from echo.rpc import GRPCError, Server, Status, open_channel, open_tcp_listener
from echo.services import EchoService
from tests.support.services import Run
from tests.support.tls import Certificates, get_reply

LOOPBACK = "127.0.0.1"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_server_and_client_ask_it_for_each_connection(certificates: Certificates, run: Run) -> None:
    asked: list[str] = []
    pair = [certificates.strange_server]

    def serving() -> ssl.SSLContext:
        asked.append("server")
        return certificates.serving(pair[0])

    def calling() -> ssl.SSLContext:
        asked.append("client")
        return certificates.calling()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            listener = await open_tcp_listener(LOOPBACK, 0, tls=serving)
            await tasks.start(Server([EchoService()]).serve, listener)
            async with open_channel(LOOPBACK, listener.extra(SocketAttribute.local_port), tls=calling) as channel:
                with pytest.raises(GRPCError, match="certificate verify failed"):
                    await get_reply(channel, "hi")
                pair[0] = certificates.server
                await channel.connect()
                assert await get_reply(channel, "hi") == "from server:hi"
            tasks.cancel_scope.cancel()

    run(main)
    assert sorted(asked) == ["client"] * 2 + ["server"] * 2


def test_a_function_that_fails_to_read_its_files_costs_only_that_connection(
    certificates: Certificates, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broken = {"server", "client"}

    def serving() -> ssl.SSLContext:
        if "server" in broken:
            raise PermissionError("server.key")
        return certificates.serving()

    def calling() -> ssl.SSLContext:
        if "client" in broken:
            raise PermissionError("client.key")
        return certificates.calling()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            listener = await open_tcp_listener(LOOPBACK, 0, tls=serving)
            await tasks.start(Server([EchoService()]).serve, listener)
            port = listener.extra(SocketAttribute.local_port)
            for end in ("client", "server"):
                async with open_channel(LOOPBACK, port, tls=calling) as channel:
                    with pytest.raises(GRPCError) as raised:
                        await get_reply(channel, "hi")
                    assert raised.value.status is Status.UNAVAILABLE
                    assert ("client.key" in str(raised.value.message)) is (end == "client")
                    broken.remove(end)
            async with open_channel(LOOPBACK, port, tls=calling) as channel:
                assert await get_reply(channel, "hi") == "from server:hi"
            tasks.cancel_scope.cancel()

    run(main)
    assert "TLS handshake with" in caplog.text
    assert "failed: server.key" in caplog.text
