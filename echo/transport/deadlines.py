"""The deadlines of a connection's calls, kept by one task: past its own, a call ends, whoever waits for it or not."""

import heapq
import math
from itertools import count
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from echo.transport.client_call import ClientCall

SLACK: Final = 64  # Entries of calls that have ended, beyond those that are open, until they are swept out.


class Deadlines:
    """Calls by the time at which they are to be over. It holds about as many entries as calls are open."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, ClientCall]] = []
        self._numbers = count()
        self._alarm = anyio.CancelScope()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, call: "ClientCall", open_calls: int) -> None:
        """End the call when its deadline passes. ``open_calls`` tells how many are open, for the bound."""
        if len(self._heap) > 2 * open_calls + SLACK:
            self._heap = [entry for entry in self._heap if entry[2].is_open]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (call.deadline, next(self._numbers), call))
        if call.deadline < self._alarm.deadline:
            self._alarm.deadline = call.deadline

    async def run(self) -> None:
        """Wait for each deadline, and end the call if it is still open. Runs until it is cancelled."""
        while True:
            earliest = self._heap[0][0] if self._heap else math.inf
            with anyio.CancelScope(deadline=earliest) as self._alarm:
                await anyio.sleep_forever()
            now = anyio.current_time()
            while self._heap and self._heap[0][0] <= now:
                call = heapq.heappop(self._heap)[2]
                if call.is_open:
                    call.expire()
