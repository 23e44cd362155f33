"""A drain while clients are in their TLS handshake: it is theirs until the grace is over, and then it ends."""

import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from anyio.abc import SocketAttribute
from hyperframe.frame import DataFrame

from echo.rpc import Server, open_tcp_listener, open_unix_listener
from echo.transport.link import LINGER
from tests.support.leaks import no_leaks, settles
from tests.support.pair import PREFACE
from tests.support.raw import SETTINGS, RawConnection
from tests.support.services import UNARY, BytesCodec, BytesStream, Service
from tests.support.serving import LOOPBACK
from tests.support.target import request
from tests.support.tls import Certificates

GRACE = 60.0
HANDSHAKE_TIMEOUT = 1_000.0  # Longer than any grace here.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


async def one(stream: BytesStream) -> None:
    await stream.send_message(await stream.recv_message() or b"")


async def hold(_stream: BytesStream) -> None:
    await trio.sleep_forever()


class Draining:
    """A TLS server that a test drains, on a clock that the test moves.

    Attributes:
        port: Where it listens.
        server: The server.
        drained: Set when the drain is over.
        ended: Set when `Server.serve` has returned.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.port = 0
        self.server = Server([Service(One=(UNARY, one), Hold=(UNARY, hold))], codec=BytesCodec())
        self.drained = trio.Event()
        self.ended = trio.Event()
        self._nursery = nursery

    async def serve(self, context: ssl.SSLContext, task_status: trio.TaskStatus[None]) -> None:
        listener = await open_tcp_listener(LOOPBACK, 0, tls=context, handshake_timeout=HANDSHAKE_TIMEOUT)
        self.port = listener.extra(SocketAttribute.local_port)
        await self.server.serve(listener, task_status=task_status)
        self.ended.set()

    async def begin(self) -> None:
        """Begin to drain, and wait until nothing more happens by itself."""

        async def drain() -> None:
            await self.server.drain(GRACE)
            self.drained.set()

        await trio.testing.wait_all_tasks_blocked(0.01)
        self._nursery.start_soon(drain)
        await trio.testing.wait_all_tasks_blocked(0.01)

    async def over(self) -> None:
        """Wait until it has drained and returned; the clock stands still meanwhile."""
        await settles(lambda: (self.drained.is_set(), self.ended.is_set()), (True, True), "drained and returned")


@asynccontextmanager
async def tls_server(context: ssl.SSLContext) -> AsyncIterator[Draining]:
    async with no_leaks(), trio.open_nursery() as nursery:
        draining = Draining(nursery)
        await nursery.start(draining.serve, context)
        yield draining


@asynccontextmanager
async def calling(stream: trio.abc.Stream, method: str) -> AsyncIterator[RawConnection]:
    """A connection that has begun with a call; closes the stream."""
    connection = RawConnection(stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.listen)
        head = connection.head(1, request(f"/test.Service/{method}"))
        await connection.send(PREFACE, SETTINGS, head, DataFrame(1, data=b"\0\0\0\0\2hi", flags=["END_STREAM"]))
        yield connection
        await connection.close()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01\x00"], ids=["nothing", "half a ClientHello"])
async def test_clients_silent_in_their_handshake_are_closed_when_the_grace_is_over(
    certificates: Certificates, said: bytes, mock_clock: trio.testing.MockClock
) -> None:
    async with tls_server(certificates.serving()) as draining:
        clients = [await trio.open_tcp_stream(LOOPBACK, draining.port) for _ in range(3)]
        for client in clients:
            await client.send_all(said)
        await draining.begin()
        mock_clock.jump(GRACE - 1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not draining.drained.is_set()  # They might still come round.
        mock_clock.jump(1)
        await draining.over()
        for client in clients:
            async with client:
                try:
                    assert await client.receive_some(1) == b""
                except trio.BrokenResourceError:  # Closed with unread bytes, so TCP resets the connection.
                    assert said


@pytest.mark.parametrize("accepted", [False, True], ids=["waiting to be accepted", "accepted"])
async def test_a_handshake_that_completes_within_the_grace_is_followed_by_its_call(
    certificates: Certificates, accepted: bool, mock_clock: trio.testing.MockClock
) -> None:
    async with tls_server(certificates.serving()) as draining:
        if accepted:
            raw = await trio.open_tcp_stream(LOOPBACK, draining.port)
            await draining.begin()
        else:
            await trio.testing.wait_all_tasks_blocked(0.01)
            waiting = socket.create_connection((LOOPBACK, draining.port))
            await draining.begin()
            waiting.setblocking(False)
            raw = trio.SocketStream(trio.socket.from_stdlib_socket(waiting))
        mock_clock.jump(GRACE / 2)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not draining.drained.is_set()
        tls = trio.SSLStream(raw, certificates.calling(), server_hostname=LOOPBACK, https_compatible=True)
        async with calling(tls, "One") as connection:
            assert (await connection.heard(1)).fields["grpc-status"] == "0"
        await draining.over()


async def test_a_call_that_outlives_the_grace_is_told_so_over_tls_too(
    certificates: Certificates, mock_clock: trio.testing.MockClock
) -> None:
    async with tls_server(certificates.serving()) as draining:
        tls = await trio.open_ssl_over_tcp_stream(LOOPBACK, draining.port, ssl_context=certificates.calling())
        async with calling(tls, "Hold") as connection:
            await settles(lambda: draining.server.calls, 1, "calls of the server")
            await draining.begin()
            mock_clock.jump(GRACE)
            told = (await connection.heard(1)).fields
            assert (told["grpc-status"], told["grpc-message"]) == ("14", "the server is shutting down")
        await draining.over()


async def test_nobody_can_connect_while_handshakes_are_waited_for(
    certificates: Certificates, mock_clock: trio.testing.MockClock
) -> None:
    async with tls_server(certificates.serving()) as draining, await trio.open_tcp_stream(LOOPBACK, draining.port):
        await draining.begin()
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream(LOOPBACK, draining.port)
        mock_clock.jump(GRACE)
        await draining.over()


async def test_the_path_of_a_unix_socket_is_gone_while_handshakes_are_waited_for(
    certificates: Certificates, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    path, server = tmp_path / "echo.sock", Server([])
    async with no_leaks(), trio.open_nursery() as nursery:
        await nursery.start(server.serve, await open_unix_listener(path, tls=certificates.serving()))
        async with await trio.open_unix_socket(str(path)):
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.start_soon(server.drain, GRACE)
            await settles(path.exists, False, "the path is there")
            nursery.cancel_scope.cancel()


async def test_a_client_that_does_not_read_its_refusal_delays_no_drain(
    certificates: Certificates, mock_clock: trio.testing.MockClock
) -> None:
    async with tls_server(certificates.serving(client_ca=certificates.ca)) as draining:
        stream = await trio.open_ssl_over_tcp_stream(LOOPBACK, draining.port, ssl_context=certificates.calling())
        await stream.do_handshake()  # It shows no certificate, and does not read the alert.
        await trio.testing.wait_all_tasks_blocked(0.01)
        await draining.begin()
        mock_clock.jump(LINGER)
        await draining.over()
        await stream.transport_stream.aclose()


async def test_a_goodbye_in_progress_ends_with_the_grace_period(
    certificates: Certificates,
    mock_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("echo.transport.link.LINGER", 10 * GRACE)
    async with (
        tls_server(certificates.serving()) as draining,
        await trio.open_tcp_stream(LOOPBACK, draining.port) as client,
    ):
        await client.send_all(b"GET / HTTP/1.1\r\n\r\n")
        await draining.begin()
        assert not draining.drained.is_set()
        assert "plain HTTP/1.1" in caplog.text  # Sent at once, so it may be cut short.
        mock_clock.jump(GRACE)
        await draining.over()


async def test_a_server_that_is_cancelled_closes_handshakes_at_once(
    certificates: Certificates, mock_clock: trio.testing.MockClock
) -> None:
    async with no_leaks(), trio.open_nursery() as nursery:
        draining = Draining(nursery)
        await nursery.start(draining.serve, certificates.serving())
        async with await trio.open_tcp_stream(LOOPBACK, draining.port) as client:
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert await client.receive_some(1) == b""
