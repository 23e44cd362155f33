"""A name for several servers, such as that of a headless Service: each of them is asked what it saw."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import pytest
import trio
from anyio.abc import SocketAttribute

from echo.probe.budget import Budget, Pace
from echo.probe.check import Check
from echo.probe.checks.cancel import Cancel
from echo.probe.checks.deadline import Deadline
from echo.probe.checks.request_streaming import RequestStreaming
from echo.probe.finding import Outcome
from echo.probe.path import Path
from echo.probe.pods import each_server
from echo.probe.survey import Survey
from echo.probe.target import Target
from echo.rpc import Server, open_tcp_listener
from echo.services import echo_services
from tests.probe.paths import no_tls
from tests.probe.sharing import sharing_an_address
from tests.support.quiet_clock import QuietClock
from tests.support.serving import LOOPBACK, serving

OTHER: Final = "127.0.0.2"
NAME: Final = "pods.example"


class Names(trio.abc.HostnameResolver):
    """Resolves `NAME` to these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - As in trio.
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        assert host == NAME.encode()
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.addresses
        ]

    async def getnameinfo(self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]:
        raise AssertionError


@asynccontextmanager
async def two_servers() -> AsyncIterator[int]:
    """Servers at both addresses, on the same port."""
    async with anyio.create_task_group() as tasks:
        port = 0
        for address in (LOOPBACK, OTHER):
            listener = await open_tcp_listener(address, port)
            port = listener.extra(SocketAttribute.local_port)
            await tasks.start(Server(echo_services().services).serve, listener)
        yield port
        tasks.cancel_scope.cancel()


async def hosts(addresses: Sequence[str], port: int) -> list[str]:
    trio.socket.set_custom_hostname_resolver(Names(*addresses))
    return [target.host for target in await each_server(Target(NAME, port, text="as given"))]


async def test_each_server_of_a_name_is_asked_what_it_saw() -> None:
    trio.socket.set_custom_hostname_resolver(Names(LOOPBACK, OTHER))
    async with two_servers() as port:
        direct = [Target(NAME, port, text=f"{NAME}:{port}")]
        path = Path(Target(OTHER, port), no_tls, Budget.of(Pace.QUICK), direct=direct)
        report = await Survey(path, [Cancel()]).run()
    assert report.results[0].finding.outcome is Outcome.SURVIVED
    assert report.direct == [f"{NAME}:{port}"]


async def test_addresses_of_one_family_count_and_those_that_answer() -> None:
    async with two_servers() as port:
        assert await hosts([LOOPBACK, OTHER], port) == [LOOPBACK, OTHER]
        assert await hosts(["::1", LOOPBACK, OTHER], port) == [LOOPBACK, OTHER]
        assert await hosts([LOOPBACK, "127.0.0.3"], port) == [LOOPBACK]


@pytest.mark.parametrize("addresses", [[LOOPBACK], ["127.0.0.3", "127.0.0.4"]])
async def test_a_name_without_several_servers_stays_as_it_is(addresses: Sequence[str]) -> None:
    async with two_servers() as port:
        unused = port if len(addresses) == 1 else 1
        assert await hosts(addresses, unused) == [NAME]


async def test_a_certificate_is_still_to_be_for_the_name() -> None:
    trio.socket.set_custom_hostname_resolver(Names(LOOPBACK, OTHER))
    async with two_servers() as port:
        assert {target.name for target in await each_server(Target(NAME, port, tls=True))} == {NAME}


def echo_server() -> Server:
    return Server(echo_services().services)


@pytest.mark.parametrize("check", [RequestStreaming(), Deadline(), Cancel()], ids=lambda check: check.name)
@pytest.mark.parametrize("direct", [True, False])
async def test_servers_that_share_an_address_are_all_asked_what_they_saw(
    quiet_clock: QuietClock, check: Check, direct: bool
) -> None:
    async with (
        serving(echo_server()) as first,
        serving(echo_server()) as second,
        sharing_an_address(first, second) as target,
    ):
        path = Path(target, no_tls, Budget.of(Pace.QUICK), direct=[target] if direct else [])
        for _ in range(2):
            report = await Survey(path, [check]).run()
            assert report.results[0].finding.outcome is Outcome.SURVIVED, report.results[0].finding
