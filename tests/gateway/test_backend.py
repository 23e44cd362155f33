"""Many calls at once: none has to wait for long-running ones."""

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest
import trio
import trio.testing

from echo.gateway.backend import CALLS_PER_CHANNEL, Backend, open_backend
from echo.rpc import Channel
from tests.support.gateway import running_gateway
from tests.support.leaks import settles
from tests.support.streams import HELLO
from tests.support.websocket import open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

BIDIRECTIONAL = "/ws/stream/bidirectional"


class Stub:
    """Stands for one channel."""


class Opened:
    """Opens channels; counts those that are open, and can make one fail.

    Attributes:
        made: References to all it has opened.
    """

    def __init__(self) -> None:
        self.open = 0
        self.made: list[weakref.ref[Stub]] = []
        self.fail = trio.Event()
        self.may_open = trio.Event()
        self.may_open.set()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Channel]:
        await self.may_open.wait()
        self.open += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fail)
                yield self._channel()
                nursery.cancel_scope.cancel()
        finally:
            self.open -= 1

    def _channel(self) -> Channel:
        channel = Stub()
        self.made.append(weakref.ref(channel))
        return cast("Channel", channel)

    async def _fail(self) -> None:
        await self.fail.wait()
        raise LookupError("a bug of the channel's")


class Users:
    """Calls that last until told otherwise."""

    def __init__(self, backend: Backend, nursery: trio.Nursery) -> None:
        self._backend = backend
        self._nursery = nursery
        self._scopes: list[trio.CancelScope] = []

    async def arrive(self, number: int) -> None:
        """Start that many more, all at once."""
        for _ in range(number):
            self._nursery.start_soon(self._use)
        await trio.testing.wait_all_tasks_blocked()

    async def give_up(self, number: int) -> None:
        """Start that many more, and cancel them before they have a channel."""
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                for _ in range(number):
                    nursery.start_soon(self._use)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()

    async def leave(self, number: int) -> None:
        """End that many of the oldest."""
        for scope in self._scopes[:number]:
            scope.cancel()
        del self._scopes[:number]
        await trio.testing.wait_all_tasks_blocked()

    async def _use(self) -> None:
        with trio.CancelScope() as scope:
            async with self._backend.channel():
                self._scopes.append(scope)
                await trio.sleep_forever()


@asynccontextmanager
async def used(opened: Opened) -> AsyncIterator[Users]:
    async with open_backend(opened) as backend, trio.open_nursery() as nursery:
        yield Users(backend, nursery)
        nursery.cancel_scope.cancel()
    assert opened.open == 0


async def test_a_channel_is_opened_for_the_first_call_and_shared() -> None:
    opened = Opened()
    async with used(opened) as users:
        assert opened.open == 0
        await users.arrive(CALLS_PER_CHANNEL)
        assert opened.open == 1
        await users.leave(CALLS_PER_CHANNEL)
        assert opened.open == 1


async def test_more_calls_get_more_channels_and_no_more_than_they_need() -> None:
    opened = Opened()
    async with used(opened) as users:
        await users.arrive(5 * CALLS_PER_CHANNEL)
        assert opened.open == 5
        await users.leave(4 * CALLS_PER_CHANNEL)
        assert opened.open == 2
        await users.leave(CALLS_PER_CHANNEL)
        assert opened.open == 1


async def test_a_call_more_or_less_does_not_open_and_close_a_channel_each_time() -> None:
    opened = Opened()
    async with used(opened) as users:
        await users.arrive(CALLS_PER_CHANNEL + 1)
        assert opened.open == 2
        for _ in range(3):
            await users.leave(1)
            assert opened.open == 2
            await users.arrive(1)
        await users.leave(CALLS_PER_CHANNEL)
        assert opened.open == 1


async def test_a_closed_channel_is_not_kept_in_memory() -> None:
    opened = Opened()
    async with used(opened) as users:
        await users.arrive(3 * CALLS_PER_CHANNEL)
        await users.leave(3 * CALLS_PER_CHANNEL)
        assert opened.open == 1
        gc.collect()
        assert sum(made() is not None for made in opened.made) == 1


async def test_a_request_that_gives_up_while_a_channel_opens_does_not_count_as_its_user() -> None:
    opened = Opened()
    opened.may_open = trio.Event()
    async with used(opened) as users:
        await users.give_up(1)
        opened.may_open.set()
        await users.arrive(CALLS_PER_CHANNEL)
        assert opened.open == 1


async def test_a_channel_that_fails_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    opened = Opened()
    async with used(opened) as users:
        await users.arrive(1)
        opened.fail.set()
        await trio.testing.wait_all_tasks_blocked()
        assert opened.open == 0
        assert "a bug of the channel's" in caplog.text
        opened.fail = trio.Event()
        await users.arrive(1)
        assert opened.open == 1


async def test_a_hundred_idle_websockets_keep_nobody_from_the_server() -> None:
    async with running_gateway() as gateway:
        async with AsyncExitStack() as stack:
            for _ in range(2 * CALLS_PER_CHANNEL + 20):
                socket = await stack.enter_async_context(open_websocket(gateway.port, BIDIRECTIONAL))
                await socket.send(HELLO)
                await socket.receive()
            assert (await gateway.get("/readyz")).status == 200
            assert (await gateway.get("/grpc/hi")).status == 200
            assert gateway.server.connections == 3
        await settles(lambda: gateway.server.calls, 0, "calls")
        await settles(lambda: gateway.server.connections, 1, "connections")
