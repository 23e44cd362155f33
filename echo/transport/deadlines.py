"""Enforces the deadlines of a connection's calls, in one task. A call ends in time even if nobody is waiting for it."""

import heapq
import math
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from echo.transport.client_call import ClientCall

SLACK: Final = 64  # Entries of ended calls that are kept at least, before the heap is rebuilt without them.


class Alarm:
    """An entry of the heap; its ``call`` is None once the call has ended."""

    __slots__ = ("call", "deadline")

    def __init__(self, call: "ClientCall") -> None:
        self.deadline: float = call.deadline
        self.call: ClientCall | None = call

    def __lt__(self, other: "Alarm") -> bool:
        return self.deadline < other.deadline


class Deadlines:
    """The open calls, by deadline. It keeps no ended call alive, and few empty entries."""

    def __init__(self) -> None:
        self._heap: list[Alarm] = []
        self._empty = 0
        self._sleep = anyio.CancelScope()

    def add(self, call: "ClientCall") -> None:
        """Have the call ended when its deadline passes."""
        call.alarm = Alarm(call)
        heapq.heappush(self._heap, call.alarm)
        if call.deadline < self._sleep.deadline:
            self._sleep.deadline = call.deadline

    def discard(self, call: "ClientCall") -> None:
        """Forget a call that has ended; does nothing if it has no deadline."""
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
                del call  # Otherwise it would be kept while this waits.
