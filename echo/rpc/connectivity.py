"""The states of a channel, as gRPC's document "Connectivity Semantics and API" has them.

    IDLE               --a call, or `Channel.connect`-->         CONNECTING
    CONNECTING         --an address answers-->                   READY
    CONNECTING         --every address has failed-->             TRANSIENT_FAILURE
    TRANSIENT_FAILURE  --a call, when an address's pause is over-->  CONNECTING
    READY              --GOAWAY, or the connection is lost-->    IDLE
    READY              --the server's health is NOT_SERVING-->   TRANSIENT_FAILURE
    any                --the channel is closed-->                SHUTDOWN

Nothing happens by itself: a channel in TRANSIENT_FAILURE stays there until something is called, or until whoever waits
in `Channel.connect` has it try again.
"""

from collections.abc import Collection
from enum import Enum

from echo.rpc.subchannel import Subchannel

__all__ = ["ChannelState", "overall"]


class ChannelState(Enum):
    """Whether a channel's calls would find a connection.

    Attributes:
        IDLE: There is none, and none is being made: nobody has needed one.
        CONNECTING: One is being made, or a name looked up.
        READY: There is one.
        TRANSIENT_FAILURE: None could be had; it is tried again after a pause.
        SHUTDOWN: The channel is closed.
    """

    IDLE = "idle"
    CONNECTING = "connecting"
    READY = "ready"
    TRANSIENT_FAILURE = "transient failure"
    SHUTDOWN = "shutdown"


def overall(subchannels: Collection[Subchannel]) -> ChannelState:
    """The state of a channel with these subchannels, of which there is at least one."""
    if any(subchannel.ready for subchannel in subchannels):
        return ChannelState.READY
    if any(subchannel.pending for subchannel in subchannels):
        return ChannelState.CONNECTING
    if all(subchannel.failure for subchannel in subchannels):
        return ChannelState.TRANSIENT_FAILURE
    return ChannelState.IDLE
