"""The gRPC server as the gateway calls it: over one channel that all requests share, and over further ones when needed.

A server limits the calls that run on one connection (ours to 100, which RFC 9113 §6.5.2 recommends as the least), and
what comes on top waits for its turn. That is right for calls that end soon. WebSockets don't: a hundred idle ones
would keep everybody else from the server, the readiness probe included. So when the first channel has its hundred
calls, a second one is opened beside it, and closed again when it is not needed any more.

``GRPC_MAX_CONCURRENT_STREAMS`` is for both ends: where the server is told another number, the gateway is too.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from echo.rpc import Channel

log = logging.getLogger(__name__)

CALLS_PER_CHANNEL: Final = 100


@dataclass(eq=False, slots=True)
class _Member:
    """A channel of the backend's; whoever uses it is counted from before the call is opened."""

    channel: Channel
    scope: trio.CancelScope
    users: int = 0


class _Wish:
    """Somebody needs one more channel."""

    def __init__(self) -> None:
        self.granted = trio.Event()
        self.member: _Member | None = None


class Backend:
    """The channels to one server; made by `open_backend`."""

    def __init__(
        self, open_one: Callable[[], AbstractAsyncContextManager[Channel]], nursery: trio.Nursery, most: int
    ) -> None:
        self._open_one = open_one
        self._most = most
        self._nursery = nursery
        self._members: list[_Member] = []
        self._growing = trio.Lock()
        self._wanted, self._wishes = trio.open_memory_channel[_Wish](0)

    @property
    def channels(self) -> int:
        """Channels that are open."""
        return len(self._members)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[Channel]:
        """A channel with room for the one call that is to be made in the block."""
        member = self._with_room() or await self._grow()
        try:
            yield member.channel
        finally:
            member.users -= 1
            if len(self._members) > 1:
                self._shrink()

    def _with_room(self) -> _Member | None:
        for member in self._members:
            if member.users < self._most:
                member.users += 1
                return member
        return None

    async def _grow(self) -> _Member:
        async with self._growing:
            found = self._with_room()  # Another may have grown it, or somebody left, while we waited.
            if found is None:
                wish = _Wish()
                await self._wanted.send(wish)
                await wish.granted.wait()
                found = wish.member
                assert found is not None
            return found

    async def keep(self) -> None:
        """Open channels when they are wanted; in this task, so that none has to do with the request that wants it."""
        async for wish in self._wishes:
            wish.member = await self._nursery.start(self._hold)
            wish.granted.set()

    def _shrink(self) -> None:
        """Close a channel that nobody uses, unless it would be missed at once. The first one stays."""
        room = sum(self._most - member.users for member in self._members)
        for member in self._members[1:]:
            if member.users == 0 and room - self._most >= self._most / 2:
                self._members.remove(member)
                member.scope.cancel()
                return

    async def _hold(self, task_status: trio.TaskStatus[_Member]) -> None:
        """Keep one channel open until it is to be closed; its first user is who asked for it."""
        member: _Member | None = None
        try:
            with trio.CancelScope() as scope:
                async with self._open_one() as channel:
                    member = _Member(channel, scope, users=1)
                    self._members.append(member)
                    task_status.started(member)
                    await trio.sleep_forever()
        except Exception:
            if member is None:
                raise
            # A fault in the channel. Its calls have failed; the next one opens another, and the gateway lives.
            log.exception("a channel failed")
        finally:
            if member in self._members:
                self._members.remove(member)


@asynccontextmanager
async def open_backend(
    open_one: Callable[[], AbstractAsyncContextManager[Channel]], calls_per_channel: int = CALLS_PER_CHANNEL
) -> AsyncIterator[Backend]:
    """Channels to a server for the length of the block; leaving it ends the calls that are still open.

    Args:
        open_one: Opens a channel.
        calls_per_channel: How many calls the server lets run on one connection.
    """
    async with trio.open_nursery() as nursery:
        backend = Backend(open_one, nursery, calls_per_channel)
        nursery.start_soon(backend.keep)
        yield backend
        nursery.cancel_scope.cancel()
