"""Keeps the most recent records, bounded in number and in bytes.

The oldest record is dropped first, even if its call is still running; the call continues. Attempts of a call-id are
numbered in sequence as long as any record of it is kept.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

from echo.evidence.instance import Place
from echo.evidence.recording import Recording
from echo.transport import ServerCall
from echo.wire import Field

MAX_RECORDS: Final = 10_000
MAX_BYTES: Final = 128 * 2**20  # For all records: twice what that many typical ones take.
MAX_ATTEMPTS: Final = 64  # For one call-id.


class Recorder:
    """Keeps records of calls.

    Args:
        place: Where the process runs; by default read from the environment.
        max_records: How many records are kept at most.
        max_bytes: How many bytes they may take.
        now: Returns nanoseconds since the epoch.

    Attributes:
        size: The approximate size of the records kept, in bytes.
    """

    def __init__(
        self,
        place: Place | None = None,
        *,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._place = Place.from_environment() if place is None else place
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._now = now
        self._kept: OrderedDict[tuple[str, int], Recording] = OrderedDict()
        self._attempts: dict[str, deque[Recording]] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, call: ServerCall, fields: Sequence[Field], call_id: str = "") -> Recording:
        """Start recording a call whose head has just arrived. Raises nothing.

        Args:
            call: The call.
            fields: Its header list as received.
            call_id: The name to keep the record under, already validated; empty to keep no record.
        """
        attempts = self._attempts.get(call_id)
        number = attempts[-1].attempt + 1 if attempts else 1
        recording = Recording(call, fields, call_id, number, self._place, self._now, self._grow)
        if call_id:
            if attempts is None:
                attempts = self._attempts[call_id] = deque()
            elif len(attempts) >= MAX_ATTEMPTS:
                self._drop(attempts[0])
            attempts.append(recording)
            self._kept[call_id, number] = recording
            self.size += recording.size
            self._make_room()
        return recording

    def _grow(self, recording: Recording, size: int) -> None:
        """Account for a recording that takes ``size`` more bytes."""
        if self._kept.get((recording.call_id, recording.attempt)) is recording:
            recording.size += size
            self.size += size
            self._make_room()

    def _make_room(self) -> None:
        while len(self._kept) > self._max_records or self.size > self._max_bytes:
            self._drop(next(iter(self._kept.values())))

    def _drop(self, recording: Recording) -> None:
        del self._kept[recording.call_id, recording.attempt]
        self.size -= recording.size
        attempts = self._attempts[recording.call_id]
        attempts.popleft()  # The oldest record of all is also the oldest of its call-id.
        if not attempts:
            del self._attempts[recording.call_id]

    def attempts(self, call_id: str) -> Sequence[Recording]:
        """The kept attempts, oldest first."""
        return tuple(self._attempts.get(call_id, ()))
