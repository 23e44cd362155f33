"""Which addresses a listener has, and how an address that cannot be listened on is reported."""

import errno
import socket

import anyio
import pytest
import trio
from anyio.abc import SocketAttribute

from echo.rpc import Server, open_channel, open_tcp_listener
from tests.support.leaks import no_leaks
from tests.support.services import UNARY, BytesCodec, BytesStream, Run, Service, unary
from tests.support.serving import LOOPBACK

CODEC = BytesCodec()


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


async def tell_peer(stream: BytesStream) -> None:
    await stream.recv_message()
    await stream.send_message(str(stream.peer).encode())


@needs_ipv6
@pytest.mark.parametrize("host", ["::", ""])
def test_a_listener_on_all_addresses_is_reached_over_ipv4_and_ipv6(host: str, run: Run) -> None:
    async def test() -> None:
        server = Server([Service(One=(UNARY, tell_peer))], codec=CODEC)
        async with anyio.create_task_group() as tasks:
            listener = await open_tcp_listener(host, 0)
            await tasks.start(server.serve, listener)
            port = listener.extra(SocketAttribute.local_port)
            for address, seen in ((LOOPBACK, b"127.0.0.1:"), ("::1", b"[::1]:")):
                async with open_channel(address, port, codec=CODEC) as channel:
                    assert (await unary(channel, "One")).startswith(seen)
            await server.drain(1)

    run(test)


@needs_ipv6
async def test_all_addresses_includes_those_of_ipv4_when_they_are_taken() -> None:
    async with no_leaks(), await open_tcp_listener(LOOPBACK, 0) as other:
        port = other.extra(SocketAttribute.local_port)
        with pytest.raises(OSError, match=rf"Address already in use: '\[::\]:{port}'"):
            await open_tcp_listener("::", port)


@needs_ipv6
async def test_a_port_that_the_system_picks_is_free_for_ipv4_too(monkeypatch: pytest.MonkeyPatch) -> None:
    listen, taken = anyio.create_tcp_listener, 2

    async def meet_another(**arguments: object) -> object:
        nonlocal taken
        if arguments["local_host"] == "0.0.0.0" and taken:
            taken -= 1
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return await listen(**arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(anyio, "create_tcp_listener", meet_another)
    async with no_leaks(), await open_tcp_listener("::", 0) as listener:
        assert taken == 0
        with socket.create_connection((LOOPBACK, listener.extra(SocketAttribute.local_port))):
            pass


async def test_without_ipv6_all_addresses_are_those_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    async with await open_tcp_listener("", 0) as listener:
        assert listener.extra(SocketAttribute.local_address)[0] == "0.0.0.0"
        stream = await trio.open_tcp_stream(LOOPBACK, listener.extra(SocketAttribute.local_port))
        await stream.aclose()


def test_an_address_that_cannot_be_listened_on_is_named(run: Run) -> None:
    async def test() -> None:
        async with await open_tcp_listener(LOOPBACK, 0) as other:
            port = other.extra(SocketAttribute.local_port)
            with pytest.raises(OSError, match=f"Address already in use: '127.0.0.1:{port}'") as raised:
                await open_tcp_listener(LOOPBACK, port)
            assert raised.value.errno == errno.EADDRINUSE
        with pytest.raises(OSError, match=r"'192\.0\.2\.1:81'"):  # Nobody's (RFC 5737).
            await open_tcp_listener("192.0.2.1", 81)

    run(test)


@pytest.mark.parametrize("host", ["½", "é" * 70])
async def test_a_name_that_cannot_be_one_of_a_host_is_named(host: str) -> None:
    with pytest.raises(OSError, match=f"not a valid host name.*'{host}:0'"):
        await open_tcp_listener(host, 0)
