"""Which of a host's addresses ``echo-grpc health`` connects to, and when it gives up."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest

from echo.health import connecting
from echo.health.connecting import connect
from echo.targets import Target
from tests.support.tcp import reserved_port

LONG = 60.0  # Seconds; a test that used them up would have failed.


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def black_hole() -> Iterator[tuple[str, int]]:
    """An address that does not answer: its queue of connections is full, so it drops what comes."""
    with ExitStack() as held:
        full = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


@pytest.fixture
def closed() -> Iterator[tuple[str, int]]:
    with reserved_port() as port:
        yield "127.0.0.1", port


def named(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> Target:
    """A target whose name has these addresses."""

    def look_up(host: str, port: int, **_: object) -> list[object]:
        assert (host, port) == ("both.test", 1)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return Target("both.test", 1)


def test_an_address_that_does_not_answer_does_not_use_up_the_time(
    black_hole: tuple[str, int], listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = named(monkeypatch, black_hole, black_hole, listening.getsockname())
    began = monotonic()
    with connect(target, began + LONG) as connected:
        assert connected.getpeername() == listening.getsockname()
    assert monotonic() - began < LONG / 2


def test_every_address_is_tried_within_a_short_time(
    black_hole: tuple[str, int], listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "ATTEMPT_DELAY", LONG)
    target = named(monkeypatch, black_hole, listening.getsockname())
    with connect(target, monotonic() + 5.0) as connected:
        assert connected.getpeername() == listening.getsockname()


def test_an_address_that_refuses_is_followed_by_the_next_at_once(
    closed: tuple[str, int], listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "ATTEMPT_DELAY", LONG)
    target = named(monkeypatch, closed, closed, listening.getsockname())
    began = monotonic()
    with connect(target, began + 100 * LONG) as connected:
        assert connected.getpeername() == listening.getsockname()
    assert monotonic() - began < LONG


def test_it_says_why_none_was_reached(
    black_hole: tuple[str, int], closed: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect(named(monkeypatch, closed, closed), monotonic() + LONG)
    with pytest.raises(TimeoutError):
        connect(named(monkeypatch, black_hole, closed), monotonic() + 0.1)
    with pytest.raises(OSError, match="the name has no address"):
        connect(named(monkeypatch), monotonic() + LONG)
