"""What the system's resolver is asked about a channel's names, and what callers learn of its failures."""

import errno
import socket
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute

from echo.rpc import Channel, GRPCError, Server, Status, open_channel, open_tcp_listener
from echo.rpc.resolve import Resolver
from echo.targets import parse_targets
from tests.support.fleet import CODEC
from tests.support.services import UNARY, Service, echo_one, on_both_loops, unary


class Names:
    """A system's look-up of names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **names: list[str]) -> None:
        self.asked: list[str] = []
        self._names = names
        monkeypatch.setattr(anyio, "getaddrinfo", self._getaddrinfo)

    async def _getaddrinfo(self, host: str, port: int, **options: object) -> list[tuple[Any, ...]]:
        assert options == {"type": socket.SOCK_STREAM}
        self.asked.append(host)
        await anyio.lowlevel.checkpoint()
        if host not in self._names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(2, 1, 6, "", (address, port)) for address in self._names[host]]


async def addresses_of(hosts: str) -> list[tuple[str, str]]:
    resolver = Resolver(parse_targets(hosts, 8081), None)
    return [(endpoint.address, endpoint.authority) for endpoint in await resolver()]


@on_both_loops
async def test_every_address_of_every_name_is_found_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, one=["10.0.0.1", "fd00::1"], two=["10.0.0.2"])
    assert await addresses_of("two,one:1") == [
        ("10.0.0.2:8081", "two:8081"),
        ("10.0.0.1:1", "one:1"),
        ("[fd00::1]:1", "one:1"),
    ]


async def test_addresses_and_paths_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch)
    assert await addresses_of("10.0.0.1,::1,unix:/run/echo.sock") == [
        ("10.0.0.1:8081", "10.0.0.1:8081"),
        ("[::1]:8081", "[::1]:8081"),
        ("unix:/run/echo.sock", "localhost"),
    ]
    assert not names.asked


async def test_a_name_that_is_not_found_does_not_matter_if_another_is(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, one=["10.0.0.1"])
    assert await addresses_of("none,one") == [("10.0.0.1:8081", "one:8081")]
    with pytest.raises(OSError, match="Name or service not known"):
        await addresses_of("none")


@pytest.mark.parametrize("host", ["é..b", "é" * 64 + ".test"])
async def test_an_impossible_name_is_unavailable_too(host: str) -> None:
    async with open_channel(host, codec=CODEC) as channel:
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
    assert raised.value.status is Status.UNAVAILABLE
    assert raised.value.message == f"cannot connect to {host}:8081: {host!r} is not a host name"


async def refused_by(channel: Channel) -> str | None:
    with pytest.raises(GRPCError) as raised:
        await unary(channel, "One")
    return raised.value.message


async def test_an_error_names_addresses_only_where_their_failures_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """If both addresses of ``localhost`` refuse, the message need not list them."""

    async def connect(host: str, port: int) -> None:
        raise OSError(errno.ECONNREFUSED if host == "127.0.0.1" else refusals[0], "no")

    Names(monkeypatch, localhost=["::1", "127.0.0.1"])
    monkeypatch.setattr(anyio, "connect_tcp", connect)
    refusals = [errno.ECONNREFUSED]
    async with open_channel("localhost", 1, codec=CODEC) as channel:
        assert await refused_by(channel) == "cannot connect to localhost:1: Connection refused"
    refusals = [errno.EADDRNOTAVAIL]
    async with open_channel("localhost", 1, codec=CODEC) as channel:
        assert await refused_by(channel) == (
            "cannot connect to localhost:1: Cannot assign requested address ([::1]:1); Connection refused (127.0.0.1:1)"
        )


@on_both_loops
async def test_while_no_thread_can_be_started_for_a_look_up_calls_fail_and_the_channel_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container that has as many processes and threads as it may have."""

    async def no_thread(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    listener = await open_tcp_listener("127.0.0.1", 0)
    port = listener.extra(SocketAttribute.local_port)
    async with anyio.create_task_group() as tasks:
        await tasks.start(Server([Service(One=(UNARY, echo_one))], codec=CODEC).serve, listener)
        async with open_channel("somewhere", port, codec=CODEC) as channel:
            monkeypatch.setattr(anyio, "getaddrinfo", no_thread)
            with pytest.raises(GRPCError) as raised:
                await unary(channel, "One", b"hi")
            assert raised.value.status is Status.UNAVAILABLE
            assert raised.value.message == f"cannot connect to somewhere:{port}: can't start new thread"
            Names(monkeypatch, somewhere=["127.0.0.1"])
            await channel.connect()
            assert await unary(channel, "One", b"hi") == b"hi"
        tasks.cancel_scope.cancel()
