"""The records that are kept: the last ones, within a number and within bytes.

What goes first is the oldest, whether its call has ended or not; a call whose record is gone goes on. A call-id stands
as long as any record of it, and attempts are numbered as long as it stands.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

from echo.evidence.instance import Place
from echo.evidence.recording import Recording
from echo.transport import ServerCall
from echo.wire import ReceivedField

MOST_RECORDS: Final = 10_000
MOST_BYTES: Final = 128 * 2**20  # Of all of them: twice what as many usual ones occupy.
MOST_ATTEMPTS: Final = 64  # Of one call-id.


class Recorder:
    """Keeps records of calls.

    Args:
        place: Where this is; by default as the environment says it.
        most: How many records are kept,
        most_bytes: and how many bytes of them.
        now: Gives nanoseconds since the epoch.

    Attributes:
        size: How many bytes the records kept occupy, about.
    """

    def __init__(
        self,
        place: Place | None = None,
        *,
        most: int = MOST_RECORDS,
        most_bytes: int = MOST_BYTES,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._place = Place.from_environment() if place is None else place
        self._most = most
        self._most_bytes = most_bytes
        self._now = now
        self._kept: OrderedDict[tuple[str, int], Recording] = OrderedDict()
        self._attempts: dict[str, deque[Recording]] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, call: ServerCall, fields: Sequence[ReceivedField], call_id: str = "") -> Recording:
        """Record a call whose head has just come. Raises nothing.

        Args:
            call: The call.
            fields: Its header list as it came.
            call_id: What to keep it as, of characters that have been checked; empty for not at all.
        """
        attempts = self._attempts.get(call_id)
        number = attempts[-1].attempt + 1 if attempts else 1
        recording = Recording(call, fields, call_id, number, self._place, self._now, self._grow)
        if call_id:
            if attempts is None:
                attempts = self._attempts[call_id] = deque()
            elif len(attempts) >= MOST_ATTEMPTS:
                self._drop(attempts[0])
            attempts.append(recording)
            self._kept[call_id, number] = recording
            self.size += recording.size
            self._make_room()
        return recording

    def _grow(self, recording: Recording, size: int) -> None:
        """A recording has come to occupy more."""
        if self._kept.get((recording.call_id, recording.attempt)) is recording:
            recording.size += size
            self.size += size
            self._make_room()

    def _make_room(self) -> None:
        while len(self._kept) > self._most or self.size > self._most_bytes:
            self._drop(next(iter(self._kept.values())))

    def _drop(self, recording: Recording) -> None:
        del self._kept[recording.call_id, recording.attempt]
        self.size -= recording.size
        attempts = self._attempts[recording.call_id]
        attempts.popleft()  # The oldest of all is the oldest of its own.
        if not attempts:
            del self._attempts[recording.call_id]

    def attempts(self, call_id: str) -> Sequence[Recording]:
        """The attempts that are kept, oldest first."""
        return tuple(self._attempts.get(call_id, ()))
