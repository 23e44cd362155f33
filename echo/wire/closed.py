"""What is remembered of streams that are over, so that late frames on them are judged rightly (RFC 9113 §5.1, closed).

When we reset a stream, frames of the peer's may be under way that it sent in good faith: they are ignored, DATA within
what was left of the stream's window. On a stream that the peer has reset, or that both have ended, a further frame is
an error of the peer's.
"""

from collections import OrderedDict, deque
from typing import Final

# Late frames belong to the streams that were closed last: those that were so within a round trip.
MAX_LATE: Final = 1_024
MAX_ENDED: Final = 64


class ClosedStreams:
    """The streams that were closed last, as many as are worth their memory; of older ones nothing is known."""

    __slots__ = ("_ended", "_late")

    def __init__(self) -> None:
        self._late: OrderedDict[int, int] = OrderedDict()  # By stream: bytes of DATA that may be under way.
        self._ended: deque[int] = deque(maxlen=MAX_ENDED)

    def __len__(self) -> int:
        return len(self._late) + len(self._ended)

    def add(self, stream_id: int, window: int, *, reset: bool) -> None:
        """A stream was closed. If we have reset it, the peer could have sent as much as its window had left."""
        if not reset:
            self._ended.append(stream_id)
        else:
            self._late[stream_id] = window
            if len(self._late) > MAX_LATE:
                self._late.popitem(last=False)

    def expects(self, stream_id: int) -> bool:
        """Whether frames on the stream may come late in good faith."""
        return stream_id in self._late

    def ended_by_peer(self, stream_id: int) -> bool:
        """Whether the peer is known to have ended or reset it."""
        return stream_id in self._ended

    def end(self, stream_id: int) -> None:
        """The last late frame came: END_STREAM, or RST_STREAM."""
        if self._late.pop(stream_id, None) is not None:
            self._ended.append(stream_id)

    def reset(self, stream_id: int) -> bool:
        """RST_STREAM came; tells whether it may have crossed what closed the stream, as one may, and not two."""
        if stream_id in self._late:
            self.end(stream_id)
            return True
        if stream_id in self._ended:
            self._ended.remove(stream_id)
            return True
        return False

    def receive(self, stream_id: int, size: int) -> bool:
        """DATA came; tells whether it was under way in good faith."""
        left = self._late.get(stream_id, -1) - size
        if left < 0:
            return False
        self._late[stream_id] = left
        return True
