"""The deadlines of a connection's calls, kept by one task: past its own, a call ends, whoever waits for it or not."""

import heapq
import math
from itertools import count
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from echo.transport.client_call import ClientCall

SLACK: Final = 64  # Entries of calls that have ended, beyond as many as are open, until they are swept out.


class Alarm:
    """A call's place among the deadlines; empty once the call has ended."""

    __slots__ = ("_number", "call", "deadline")

    def __init__(self, deadline: float, number: int, call: "ClientCall") -> None:
        self.deadline = deadline
        self._number = number
        self.call: ClientCall | None = call

    def __lt__(self, other: "Alarm") -> bool:
        return (self.deadline, self._number) < (other.deadline, other._number)


class Deadlines:
    """Calls by the time at which they are to be over. It holds no call that has ended, and few empty places."""

    def __init__(self) -> None:
        self._heap: list[Alarm] = []
        self._empty = 0
        self._numbers = count()
        self._sleep = anyio.CancelScope()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, call: "ClientCall") -> None:
        """End the call when its deadline passes."""
        call.alarm = Alarm(call.deadline, next(self._numbers), call)
        heapq.heappush(self._heap, call.alarm)
        if call.deadline < self._sleep.deadline:
            self._sleep.deadline = call.deadline

    def discard(self, call: "ClientCall") -> None:
        """The call has ended; does nothing to one that has no deadline."""
        alarm = call.alarm
        if alarm is not None:
            alarm.call = call.alarm = None
            self._empty += 1
            if self._empty > len(self._heap) // 2 + SLACK:
                self._heap = [alarm for alarm in self._heap if alarm.call is not None]
                self._empty = 0
                heapq.heapify(self._heap)

    async def run(self) -> None:
        """Wait for each deadline, and end the call if it is still open. Runs until it is cancelled."""
        while True:
            earliest = self._heap[0].deadline if self._heap else math.inf
            with anyio.CancelScope(deadline=earliest) as self._sleep:
                await anyio.sleep_forever()
            now = anyio.current_time()
            while self._heap and self._heap[0].deadline <= now:
                call = heapq.heappop(self._heap).call
                if call is None:
                    self._empty -= 1
                else:
                    call.alarm = None
                    call.expire()
                del call  # Not to be kept while this waits.
