"""Enforces the deadlines of a connection's calls, in one task. A call ends in time even if nobody is waiting for it."""

import heapq
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from echo.transport.client_call import ClientCall

SLACK: Final = 64  # Entries of ended calls that are kept at least, before the heap is rebuilt without them.


class Deadlines:
    """When the open calls end by themselves.

    Args:
        calls: The open calls, by stream id.
    """

    def __init__(self, calls: "Mapping[int, ClientCall]") -> None:
        self._calls = calls
        self._heap: list[tuple[float, int]] = []  # Deadlines with stream ids. Those of ended calls remain for a while.
        self._sleep = anyio.CancelScope()

    def add(self, call: "ClientCall") -> None:
        """Have the call ended when its deadline passes."""
        if len(self._heap) > 2 * len(self._calls) + SLACK:
            self._heap = [entry for entry in self._heap if entry[1] in self._calls]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (call.deadline, call.id))
        if call.deadline < self._sleep.deadline:
            self._sleep.deadline = call.deadline

    async def run(self) -> None:
        """Wait for each deadline, and end the call if it is still open. Runs until it is cancelled."""
        while True:
            earliest = self._heap[0][0] if self._heap else math.inf
            with anyio.CancelScope(deadline=earliest) as self._sleep:
                await anyio.sleep_forever()
            now = anyio.current_time()
            while self._heap and self._heap[0][0] <= now:
                call = self._calls.get(heapq.heappop(self._heap)[1])
                if call is not None:
                    call.expire()
                del call  # Otherwise it would be kept while this waits.
