"""The TLS stream that both roles use: as any byte stream, with a task that receives while another sends."""

import math
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass

import anyio
import pytest
import trustme
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute

from echo.transport.handshake import accept_tls, connect_tls
from echo.transport.memory import memory_stream_pair
from tests.support.services import Run
from tests.support.tls import CLIENT_NAME, Certificates

NOISE = b"\x17\x03\x03\x00\x20" + b"noise..." * 4  # A record that cannot be decrypted.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class Line(ByteStream):
    """A stream that fails, as sockets do, if two tasks send at once; and that can be made to stop sending for a while.

    Attributes:
        sent: Everything that went out.
        closed: It is.
    """

    def __init__(self, stream: ByteStream) -> None:
        self.sent = b""
        self.closed = False
        self._stream = stream
        self._guard = anyio.ResourceGuard("sending on")
        self._free = anyio.Event()
        self._free.set()

    def stop(self) -> None:
        self._free = anyio.Event()

    def go_on(self) -> None:
        self._free.set()

    async def send(self, item: bytes) -> None:
        with self._guard:
            await self._free.wait()
            self.sent += item
            await self._stream.send(item)

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        return await self._stream.receive(max_bytes)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        self.closed = True
        await self._stream.aclose()


@dataclass
class Ends:
    """A connection: both ends, and the streams below them."""

    client: ByteStream
    server: ByteStream
    under_client: Line
    under_server: Line


@asynccontextmanager
async def secured(certificates: Certificates) -> AsyncIterator[Ends]:
    left, right = memory_stream_pair(math.inf)
    under_client, under_server = Line(left), Line(right)
    ends: list[ByteStream] = []

    async def accept() -> None:
        ends.append(await accept_tls(under_server, certificates.serving(client_ca=certificates.ca), 5))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(accept)
        client = await connect_tls(under_client, certificates.calling(certificates.client), "localhost")
    async with client, ends[0]:
        yield Ends(client, ends[0], under_client, under_server)


async def exactly(stream: ByteStream, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += await stream.receive(size - len(received))
    return received


def test_both_ends_send_and_receive_at_once(run: Run, certificates: Certificates) -> None:
    up, down = bytes(range(256)) * 4_000, bytes(range(255, -1, -1)) * 4_000

    async def main() -> None:
        received: dict[str, bytes] = {}

        async def receive(name: str, stream: ByteStream) -> None:
            received[name] = await exactly(stream, len(up))

        async with secured(certificates) as ends, anyio.create_task_group() as tasks:
            tasks.start_soon(receive, "up", ends.server)
            tasks.start_soon(receive, "down", ends.client)
            tasks.start_soon(ends.client.send, up)
            tasks.start_soon(ends.server.send, down)
        assert received == {"up": up, "down": down}

    run(main)


def test_its_attributes_equal_those_of_anyio_s_tls_stream(run: Run, certificates: Certificates) -> None:
    attributes = {
        name: getattr(TLSAttribute, name)
        for name in TLSAttribute.__annotations__
        if name != "channel_binding_tls_unique"
    }

    async def main() -> None:
        async with secured(certificates) as ends:
            told = {name: ends.server.extra(attribute) for name, attribute in attributes.items()}
            other = {name: ends.client.extra(attribute) for name, attribute in attributes.items()}
        assert ("email", CLIENT_NAME) in told["peer_certificate"]["subjectAltName"]
        assert told["peer_certificate_binary"] != other["peer_certificate_binary"]
        assert (told["alpn_protocol"], told["tls_version"], told["standard_compatible"]) == ("h2", "TLSv1.3", False)
        assert (told["server_side"], other["server_side"]) == (True, False)
        assert told["cipher"] == other["cipher"]
        assert told["shared_ciphers"]
        assert other["shared_ciphers"] is None
        assert isinstance(told["ssl_object"], ssl.SSLObject)
        assert set(TLSAttribute.__annotations__) <= names(ends.server)

    run(main)


def names(stream: ByteStream) -> set[str]:
    """Of the TLS attributes that the stream has."""
    return {name for name in TLSAttribute.__annotations__ if getattr(TLSAttribute, name) in stream.extra_attributes}


@pytest.mark.parametrize("end", ["client", "server"])
def test_an_alert_waits_for_its_turn_behind_what_is_being_sent(run: Run, certificates: Certificates, end: str) -> None:
    """Receiving must send something, here an alert, while another task is sending; they must not send at once."""

    async def main() -> None:
        async with secured(certificates) as ends, anyio.create_task_group() as tasks:
            ours: ByteStream = getattr(ends, end)
            line: Line = getattr(ends, f"under_{end}")
            theirs = ends.under_server if end == "client" else ends.under_client
            line.stop()
            tasks.start_soon(ours.send, b"x" * 1_000)
            await anyio.wait_all_tasks_blocked()
            await theirs.send(NOISE)
            with pytest.raises(ssl.SSLError):
                await ours.receive()
            before = len(line.sent)
            line.go_on()
            await anyio.wait_all_tasks_blocked()
            records = cut(line.sent[before:])
            assert [len(record) > 1_000 for record in records] == [True, False]

    run(main)


def cut(records: bytes) -> list[bytes]:
    found = []
    while records:
        size = 5 + int.from_bytes(records[3:5], "big")
        found.append(records[:size])
        records = records[size:]
    return found


def test_an_alert_is_sent_at_once_if_nothing_else_is_being_sent(run: Run, certificates: Certificates) -> None:
    async def main() -> None:
        async with secured(certificates) as ends:
            await ends.under_client.send(NOISE)
            with pytest.raises(ssl.SSLError):
                await ends.server.receive()
            with pytest.raises(ssl.SSLError, match=r"(?i)alert bad record mac"):
                await ends.client.receive()
            with pytest.raises(ssl.SSLError):
                await ends.server.send(b"as if nothing had happened")

    run(main)


def test_after_a_cancelled_send_nothing_more_is_sent(run: Run, certificates: Certificates) -> None:
    async def main() -> None:
        async with secured(certificates) as ends:
            ends.under_client.stop()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ends.client.send, b"lost")
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            ends.under_client.go_on()
            before = ends.under_client.sent
            with pytest.raises(anyio.BrokenResourceError):
                await ends.client.send(b"not to be decrypted")
            assert ends.under_client.sent == before
            await ends.server.send(b"the other way")
            assert await ends.client.receive() == b"the other way"
            await ends.under_server.send(NOISE)
            with pytest.raises(ssl.SSLError):
                await ends.client.receive()
            assert ends.under_client.sent == before

    run(main)


@pytest.mark.parametrize("politely", [True, False])
def test_the_end_of_the_transport_is_the_end(run: Run, certificates: Certificates, politely: bool) -> None:
    async def main() -> None:
        async with secured(certificates) as ends:
            await ends.client.send(b"last")
            if politely:  # With close_notify, as other makes do.
                tls = ends.client.extra(TLSAttribute.ssl_object)
                with pytest.raises(ssl.SSLWantReadError):
                    tls.unwrap()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(ends.client.receive)  # Which sends what there is to send.
                    await anyio.wait_all_tasks_blocked()
                    tasks.cancel_scope.cancel()
            else:
                await ends.under_client.send_eof()
            assert await ends.server.receive() == b"last"
            for _ in range(2):
                with pytest.raises(anyio.EndOfStream):
                    await ends.server.receive()

    run(main)


def test_closing_closes_the_transport(run: Run, certificates: Certificates) -> None:
    async def main() -> None:
        async with secured(certificates) as ends:
            await ends.client.aclose()
            assert ends.under_client.closed

    run(main)


def test_a_tls_stream_cannot_be_half_closed(run: Run, certificates: Certificates) -> None:
    async def main() -> None:
        async with secured(certificates) as ends:
            with pytest.raises(NotImplementedError):
                await ends.client.send_eof()

    run(main)


@pytest.mark.parametrize(("certified", "accepted"), [("xn--fa-hia.test", True), ("fass.test", False)])
def test_names_are_encoded_by_idna_2008(run: Run, certified: str, accepted: bool) -> None:
    """By that of 2003, ``faß.test`` would be ``fass.test``, which may be another's."""
    authority = trustme.CA()
    serving, calling = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(calling)
    authority.issue_cert(certified).configure_cert(serving)

    async def accept(stream: ByteStream) -> None:
        with suppress(OSError):
            await accept_tls(stream, serving, 5)

    async def main() -> None:
        left, right = memory_stream_pair(math.inf)
        async with left, right, anyio.create_task_group() as tasks:
            tasks.start_soon(accept, right)
            with nullcontext() if accepted else pytest.raises(OSError, match="certificate is not valid for"):
                await connect_tls(left, calling, "faß.test")
            tasks.cancel_scope.cancel()

    run(main)
