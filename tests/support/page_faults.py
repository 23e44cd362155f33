"""A hop that breaks something, for a check of the page and for the command line's check of the same name.

The hops are those that the command line's own checks are tested against: before the gateway, or between it and the
server.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from echo.probe.budget import Budget, Pace
from echo.probe.path import Path
from echo.probe.target import Target
from echo.rpc import Server
from echo.services import echo_services
from tests.probe.gateway_paths import path_to_a_gateway
from tests.probe.paths import no_tls
from tests.probe.relays import Fault as RelayFault
from tests.probe.relays import relaying
from tests.probe.web_relays import WebFault
from tests.support.gateway import gateway_to
from tests.support.page_checks import checks_in, line_report, page_report
from tests.support.serving import LOOPBACK, serving
from tests.support.side_by_side import Look

IDLE: Final = 3.0  # Seconds of silence, for both.

Found = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Fault(Look[Found]):
    """A hop that breaks something, and a check.

    Attributes:
        at: What the page finds, in real time.
        line: What the command line finds.
        worded: Whether the page's finding is in the command line's words.
    """

    line: Callable[[], Awaitable[Found]]
    worded: bool = True


def before_the_gateway(name: str, hop: Callable[..., WebFault], *arguments: object, worded: bool = True) -> Fault:
    """The hop is before the gateway."""

    async def page() -> Found:
        async with path_to_a_gateway(hop(*arguments), idle=IDLE) as path:
            assert path.gateway is not None
            return checks_in(await page_report(path.gateway.port, [name], idle=IDLE))[name]

    async def line() -> Found:
        async with path_to_a_gateway(hop(*arguments), idle=IDLE) as path:
            return checks_in(await line_report(path, [name]))[name]

    return Fault(f"{name}-{hop.__name__}", page, line, worded)


def behind_the_gateway(name: str, hop: Callable[..., RelayFault], *arguments: object, **named: object) -> Fault:
    """It is between the gateway and the server; the command line has no gateway."""

    async def page() -> Found:
        server = Server(echo_services().services)
        async with (
            serving(server) as port,
            relaying(port, hop(*arguments, **named)) as relay,
            gateway_to(relay.port, server) as gateway,
        ):
            return checks_in(await page_report(gateway.port, [name], idle=IDLE))[name]

    async def line() -> Found:
        server = Server(echo_services().services)
        async with serving(server) as port, relaying(port, hop(*arguments, **named)) as relay:
            direct = [Target(LOOPBACK, port)]
            path = Path(Target(LOOPBACK, relay.port), no_tls, Budget.of(Pace.QUICK, IDLE), direct=direct)
            return checks_in(await line_report(path, [name]))[name]

    words = [name, hop.__name__, *map(str, arguments), *(f"{key}={value}" for key, value in named.items())]
    return Fault("-".join(words), page, line)


def assert_same(line: Found, page: Found, outcome: str) -> None:
    """They agree, but for what was measured."""
    assert page["outcome"] == line["outcome"] == outcome
    assert worded(page["finding"]) == worded(line["finding"])
    assert (page["advice"], page["unit"]) == (line["advice"], line["unit"])
    assert same_limit(line, page), (page["limit"], line["limit"])


def same_limit(line: Found, page: Found) -> bool:
    """About the same, or none in either."""
    if page["limit"] is None or line["limit"] is None:
        return page["limit"] is line["limit"]
    return bool(page["limit"] == pytest.approx(line["limit"], rel=0.3, abs=0.5))


def worded(sentence: str) -> str:
    return re.sub(r"\d+(?:\.\d+)?", "#", sentence)
