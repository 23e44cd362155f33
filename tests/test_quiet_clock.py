"""Virtual time for real sockets: it passes when all is quiet, and never while something is on its way."""

import socket
import time

import pytest
import trio
import trio.testing

from tests.support.quiet_clock import QuietClock, quiet
from tests.support.serving import LOOPBACK

MUCH = 20_000_000


async def test_nobody_waits_for_time_that_only_passes(quiet_clock: QuietClock) -> None:
    began = time.monotonic()
    await trio.sleep(80_000)
    assert trio.current_time() == 80_000
    assert time.monotonic() - began < 60


async def test_time_does_not_pass_while_bytes_are_on_their_way(quiet_clock: QuietClock) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with (
        listener,
        await trio.open_tcp_stream(*listener.socket.getsockname()) as ours,
        await listener.accept() as theirs,
        trio.open_nursery() as nursery,
    ):
        with trio.fail_after(0.000_001):
            nursery.start_soon(ours.send_all, bytes(MUCH))
            came = 0
            while came < MUCH:
                came += len(await theirs.receive_some(100_000))


async def test_time_passes_when_a_peer_has_no_room(quiet_clock: QuietClock) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
            with trio.move_on_after(5):
                await stream.send_all(bytes(MUCH))
            assert trio.current_time() == 5


async def test_time_passes_when_a_peer_across_tcp_has_no_room(quiet_clock: QuietClock) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with listener, await trio.open_tcp_stream(*listener.socket.getsockname()) as ours, await listener.accept():
        with trio.move_on_after(5):
            await ours.send_all(bytes(MUCH))
        assert trio.current_time() == 5


async def test_time_does_not_pass_while_a_thread_works(quiet_clock: QuietClock) -> None:
    with trio.fail_after(0.000_001):
        await trio.to_thread.run_sync(time.sleep, 0.05)
    assert trio.current_time() == 0


async def test_who_waits_for_quiet_has_it_before_time_passes(quiet_clock: QuietClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 10)
        await quiet()
        assert trio.current_time() == 0
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seconds", [1, 5])
async def test_time_can_be_made_to_wait_for_the_test(seconds: int, quiet_clock: QuietClock) -> None:
    quiet_clock.jumping = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 5)
        await quiet()
        assert trio.current_time() == 0
        quiet_clock.jump(seconds)
        await quiet()
        assert len(nursery.child_tasks) == (seconds < 5)
        quiet_clock.jumping = True


async def test_the_clock_that_knows_nothing_of_this_refuses_real_sockets(autojump_clock: trio.abc.Clock) -> None:
    with trio.socket.socket() as found, pytest.raises(AssertionError, match="use quiet_clock"):
        await found.bind((LOOPBACK, 0))
