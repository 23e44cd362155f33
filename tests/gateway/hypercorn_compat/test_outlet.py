"""Sending to one peer: what the kernel accepts is sent at once, the rest in order, and not forever."""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import trio

from echo.gateway.hypercorn_compat import PATIENCE
from echo.gateway.hypercorn_compat.outlet import Outlet
from tests.support.quiet_clock import QuietClock, quiet

pytestmark = pytest.mark.usefixtures("nothing_left")

MUCH = bytes(range(256)) * 4096  # More than the kernel takes here.
PACE = 8 * 1024  # Bytes a second.


@dataclass
class Peer:
    """An outlet, the other end of its stream, and when the other end was seen to read."""

    outlet: Outlet
    stream: trio.SocketStream
    far: trio.SocketStream
    progress: list[float] = field(default_factory=list)

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            received = await self.far.receive_some(size - len(data))
            assert received
            data += received
        return data


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    near, far = (trio.SocketStream(end) for end in trio.socket.socketpair())
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    async with near, far:
        progress: list[float] = []
        yield Peer(Outlet(near, lambda: progress.append(trio.current_time())), near, far, progress)


async def test_what_the_kernel_takes_goes_at_once(peer: Peer, clock: QuietClock) -> None:
    assert peer.outlet.send_now(b"hello")
    assert await peer.read(5) == b"hello"
    assert not peer.outlet.pending


async def test_what_it_does_not_take_waits_for_the_next_send_and_goes_first(peer: Peer, clock: QuietClock) -> None:
    assert peer.outlet.send_now(MUCH)
    assert not peer.outlet.send_now(b"between")  # Not taken, so not sent either.
    assert peer.outlet.pending
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.outlet.send, b"after")
        assert await peer.read(len(MUCH) + 5) == MUCH + b"after"
    assert peer.outlet.send_now(b"hello")  # As nothing is pending any more.


async def test_a_send_of_nothing_sends_what_is_pending(peer: Peer, clock: QuietClock) -> None:
    peer.outlet.send_now(MUCH)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.outlet.send, b"")
        assert await peer.read(len(MUCH)) == MUCH


async def test_sends_go_one_after_the_other_and_none_in_between(peer: Peer, clock: QuietClock) -> None:
    async with trio.open_nursery() as nursery:
        for mark in (b"1", b"2", b"3"):
            nursery.start_soon(peer.outlet.send, mark * 100_000)
            await quiet()
            assert not peer.outlet.send_now(b"x")
        assert await peer.read(300_000) == b"1" * 100_000 + b"2" * 100_000 + b"3" * 100_000


async def test_cancelling_a_send_loses_nothing(peer: Peer, clock: QuietClock) -> None:
    async with trio.open_nursery() as nursery:

        async def send(mark: bytes) -> None:
            with trio.move_on_after(1):
                await peer.outlet.send(mark * 100_000)

        nursery.start_soon(send, b"1")
        await quiet()
        nursery.start_soon(send, b"2")
        await trio.sleep(2)
        assert await peer.read(200_000) == b"1" * 100_000 + b"2" * 100_000


async def test_a_slow_reader_is_waited_for_and_seen_to_be_alive(peer: Peer, clock: QuietClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.outlet.send, MUCH)
        taken = b""
        while len(taken) < len(MUCH):
            await trio.sleep(1)
            taken += await peer.read(min(PACE, len(MUCH) - len(taken)))
    assert taken == MUCH
    seen = [0.0, *peer.progress]
    assert all(later - earlier < PATIENCE / 2 for earlier, later in pairwise(seen))


async def test_a_peer_that_takes_nothing_is_given_up_and_so_are_senders_that_wait_for_it(
    peer: Peer, clock: QuietClock
) -> None:
    ended: list[float] = []

    async def send() -> None:
        with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
            await peer.outlet.send(MUCH)
        ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(send)
    assert ended == 3 * [PATIENCE]
    assert peer.stream.socket.fileno() == -1


async def test_what_is_wrong_with_the_socket_shows_in_the_next_send(peer: Peer, clock: QuietClock) -> None:
    await peer.far.aclose()
    assert peer.outlet.send_now(b"hello")
    with pytest.raises(trio.BrokenResourceError):
        await peer.outlet.send(b"")
