"""Lingering: for as long as it helps the peer, which cannot keep an ended connection open by sending."""

import socket
from contextlib import suppress

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import SocketStream

from echo.transport.backend import current_backend
from echo.transport.link import LINGER, Link, link_over
from tests.support.accepting import no_descriptors
from tests.support.services import Run
from tests.support.serving import LOOPBACK

STALL = 20.0


async def linked() -> tuple[Link, socket.socket]:
    """A link, and the other end of its socket."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    return link_over(await SocketStream.from_socket(ours), STALL, current_backend()), theirs


@pytest.fixture
def clock(mock_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """A clock that the test moves."""
    return mock_clock


async def lingered(link: Link, clock: trio.testing.MockClock, step: float, theirs: socket.socket, said: bytes) -> float:
    """Let the link linger while the other end sends now and then; returns how long it lingered."""
    over = trio.Event()

    async def linger() -> None:
        async with link:
            await link.linger()
        over.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(linger)
        await trio.testing.wait_all_tasks_blocked()
        while not over.is_set():
            if said:
                with suppress(OSError):
                    theirs.send(said)
            clock.jump(step)
            await trio.testing.wait_all_tasks_blocked()
            assert clock.current_time() < 10 * STALL, "it lingers forever"
    return clock.current_time()


async def test_a_peer_that_never_stops_sending_does_not_keep_an_ended_connection(clock: trio.testing.MockClock) -> None:
    link, theirs = await linked()
    with theirs:
        assert STALL <= await lingered(link, clock, LINGER / 2, theirs, b"x") <= 2 * STALL


async def test_a_silent_peer_that_has_everything_is_waited_for_only_briefly(clock: trio.testing.MockClock) -> None:
    link, theirs = await linked()
    with theirs:
        assert await lingered(link, clock, LINGER / 2, theirs, b"") <= 2 * LINGER


class SpuriousWakeUps(trio.abc.Instrument):
    """Takes a socket's input between the system's report that there is some and the wake-up of the waiting task."""

    def __init__(self, taken: socket.socket) -> None:
        self._taken = taken
        self.number = 0

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - as in Instrument
        with suppress(BlockingIOError):
            self.number += bool(self._taken.recv(1024))


async def test_a_spurious_wake_up_does_not_end_the_lingering(clock: trio.testing.MockClock) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    link = link_over(await SocketStream.from_socket(ours), STALL, current_backend())
    with theirs, ours.dup() as taken:
        wake_ups = SpuriousWakeUps(taken)
        trio.lowlevel.add_instrument(wake_ups)
        try:
            assert LINGER <= await lingered(link, clock, LINGER / 2, theirs, b"x") <= 2 * LINGER
        finally:
            trio.lowlevel.remove_instrument(wake_ups)
    assert wake_ups.number


async def test_a_peer_that_has_closed_is_not_waited_for(clock: trio.testing.MockClock) -> None:
    link, theirs = await linked()
    theirs.close()
    assert await lingered(link, clock, LINGER / 2, theirs, b"") == 0.0


def test_a_peer_that_is_sending_gets_what_was_not_delivered_yet(run: Run) -> None:
    """Input that comes after a socket was closed resets the connection, and what the kernel was to deliver is lost.

    Lingering takes no descriptor: a server that drains may have as many connections as it can.
    """
    sent, received = bytes(64 * 1024), bytearray()

    async def end(link: Link) -> None:
        async with link:
            await link.send(sent)
            give_back = no_descriptors()
            try:
                await link.linger()
            finally:
                give_back()

    def read(theirs: socket.socket) -> None:
        with theirs, suppress(ConnectionResetError):
            theirs.send(b"x")
            while data := theirs.recv(len(sent)):
                received.extend(data)

    async def test() -> None:
        with socket.create_server((LOOPBACK, 0)) as listening:
            theirs = socket.socket()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # Most of it stays in our kernel's buffer.
            theirs.connect(listening.getsockname())
            ours = listening.accept()[0]
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(sent))
        async with anyio.create_task_group() as tasks:
            stream = await SocketStream.from_socket(ours)
            tasks.start_soon(end, link_over(stream, STALL, current_backend()))
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(read, theirs)

    run(test)
    assert received == sent
