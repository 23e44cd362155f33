"""A record of recently closed streams, which decides how to treat late frames on them (RFC 9113 §5.1, closed).

After we reset a stream, frames that the peer sent before it knew may still arrive. They are ignored; DATA must fit
what was left of the stream's window. After the peer has reset a stream, or both sides have ended it, any further frame
is an error by the peer.
"""

from collections import OrderedDict, deque
from typing import Final

# Late frames can only belong to streams closed within the last round trip.
MAX_LATE: Final = 1_024
MAX_ENDED: Final = 64


class ClosedStreams:
    """The most recently closed streams, up to a fixed number; older ones are forgotten."""

    __slots__ = ("_ended", "_late")

    def __init__(self) -> None:
        self._late: OrderedDict[int, int] = OrderedDict()  # By stream id: bytes of DATA that may still arrive.
        self._ended: deque[int] = deque(maxlen=MAX_ENDED)

    def add(self, stream_id: int, window: int, *, reset: bool) -> None:
        """Add a closed stream. If we reset it, the peer may already have sent as much as ``window`` allowed."""
        if not reset:
            self._ended.append(stream_id)
        else:
            self._late[stream_id] = window
            if len(self._late) > MAX_LATE:
                self._late.popitem(last=False)

    def expects(self, stream_id: int) -> bool:
        """Whether frames may still arrive that the peer sent before it knew of our reset."""
        return stream_id in self._late

    def ended_by_peer(self, stream_id: int) -> bool:
        """Whether the peer is known to have ended or reset it."""
        return stream_id in self._ended

    def end(self, stream_id: int) -> None:
        """Note that the peer's last frame has arrived: END_STREAM or RST_STREAM."""
        if self._late.pop(stream_id, None) is not None:
            self._ended.append(stream_id)

    def reset(self, stream_id: int) -> bool:
        """Handle a late RST_STREAM. False for a second one: only one can have crossed what closed the stream."""
        if stream_id in self._late:
            self.end(stream_id)
            return True
        if stream_id in self._ended:
            self._ended.remove(stream_id)
            return True
        return False

    def receive(self, stream_id: int, size: int) -> bool:
        """Handle late DATA. False unless the peer may have sent it before it knew of our reset."""
        left = self._late.get(stream_id, -1) - size
        if left < 0:
            return False
        self._late[stream_id] = left
        return True
