"""The states of a channel (gRPC's document "Connectivity Semantics and API").

    IDLE               --a call, or `Channel.connect`-->         CONNECTING
    CONNECTING         --an address answers-->                   READY
    CONNECTING         --every address has failed-->             TRANSIENT_FAILURE
    TRANSIENT_FAILURE  --a call, when a backoff is over-->       CONNECTING
    READY              --GOAWAY, or the connection is lost-->    IDLE
    READY              --the server's health is NOT_SERVING-->   TRANSIENT_FAILURE
    any                --the channel is closed-->                SHUTDOWN

Nothing happens by itself: a channel in TRANSIENT_FAILURE stays there until a call is made or a task waits in
`Channel.connect`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from enum import Enum

from echo.rpc.subchannel import Subchannel

__all__ = ["ChannelState", "States", "overall"]


class ChannelState(Enum):
    """Whether a channel has a connection.

    Attributes:
        IDLE: It has none and is not connecting, as no call needs one.
        CONNECTING: It is connecting, or looking up a name.
        READY: It has a connection.
        TRANSIENT_FAILURE: It could not connect, and tries again after a pause.
        SHUTDOWN: It is closed.
    """

    IDLE = "idle"
    CONNECTING = "connecting"
    READY = "ready"
    TRANSIENT_FAILURE = "transient failure"
    SHUTDOWN = "shutdown"


def overall(subchannels: Collection[Subchannel]) -> ChannelState:
    """The state of a channel with these subchannels; there must be at least one."""
    if any(subchannel.ready for subchannel in subchannels):
        return ChannelState.READY
    if any(subchannel.pending for subchannel in subchannels):
        return ChannelState.CONNECTING
    if all(subchannel.failure for subchannel in subchannels):
        return ChannelState.TRANSIENT_FAILURE
    return ChannelState.IDLE


class States(AsyncIterator[ChannelState]):
    """A state, then each new one up to SHUTDOWN.

    Not an async generator: on trio, each one that is left by ``break`` gives a ResourceWarning, and most who wait for a
    state leave it like that.

    Args:
        first: Returns the state to begin with.
        change: Waits for a state other than this one, and returns it.
    """

    def __init__(
        self, first: Callable[[], ChannelState], change: Callable[[ChannelState], Awaitable[ChannelState]]
    ) -> None:
        self._first = first
        self._change = change
        self._last: ChannelState | None = None

    async def __anext__(self) -> ChannelState:
        if self._last is ChannelState.SHUTDOWN:
            raise StopAsyncIteration
        self._last = self._first() if self._last is None else await self._change(self._last)
        return self._last
