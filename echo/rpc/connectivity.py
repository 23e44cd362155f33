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

from collections.abc import Collection
from enum import Enum

from echo.rpc.subchannel import Subchannel

__all__ = ["ChannelState", "overall"]


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
