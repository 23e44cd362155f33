"""The tasks of one connection, one of them for each request: what Hypercorn calls a task group.

Upstream: the queue of an application that has ended stays open, so that whoever has something for it, such as the
connection's reader, waits for room for ever once ten events are in it. And that the client has left waits for room,
too, before an application that takes no events because it waits for somebody else; here it does not, and an application
that does not take note of it in time is cancelled.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.typing import AppWrapper, ASGIReceiveEvent, ASGISendEvent, Scope

from echo.gateway.hypercorn_compat.timing import CLOSE_TIMEOUT

LEFT: Final = ("http.disconnect", "websocket.disconnect")

Put = Callable[[ASGIReceiveEvent], Awaitable[None]]
Send = Callable[[ASGISendEvent | None], Awaitable[None]]


class Tasks:
    """Runs applications, in a nursery of the connection's."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def spawn(self, function: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Start a task."""
        self._nursery.start_soon(function, *arguments)

    async def spawn_app(self, app: AppWrapper, config: Config, scope: Scope, send: Send) -> Put:
        """Start the application for one request; what is put reaches it, and nobody once it has ended.

        ``send`` is given what the application sends, and None when it has ended.
        """
        queue = Queue(config.max_app_queue_size)
        self._nursery.start_soon(_run, app, config, scope, queue, send)
        return queue.put


class Queue:
    """Events for an application: a few, in order. A fifth of the memory of a channel of trio's, while it is empty.

    Attributes:
        patience: The application runs in it, and is cancelled if it leaves it untaken that the client has left.
    """

    __slots__ = ("_closed", "_events", "_getting", "_putting", "_size", "patience")

    def __init__(self, size: int) -> None:
        self.patience = trio.CancelScope()
        self._size = size
        self._events: list[ASGIReceiveEvent] = []
        self._closed = False
        self._getting = trio.lowlevel.ParkingLot()
        self._putting: trio.lowlevel.ParkingLot | None = None  # Made when somebody first has to wait.

    async def put(self, event: ASGIReceiveEvent) -> None:
        """Add an event; waits while there is no room, and does nothing once the application has ended.

        That the client has left, of which there is one event at most, never waits.
        """
        last = event["type"] in LEFT
        while len(self._events) >= self._size and not (last or self._closed):
            if self._putting is None:
                self._putting = trio.lowlevel.ParkingLot()
            await self._putting.park()
        if self._closed:
            return
        if last:
            self.patience.deadline = trio.current_time() + CLOSE_TIMEOUT
        self._events.append(event)
        self._getting.unpark()

    async def get(self) -> ASGIReceiveEvent:
        """The next event."""
        if self._events:
            await trio.lowlevel.checkpoint_if_cancelled()
        while not self._events:
            await self._getting.park()
        if self._putting is not None:
            self._putting.unpark()
        event = self._events.pop(0)
        if event["type"] in LEFT:
            self.patience.deadline = math.inf
        return event

    def close(self) -> None:
        """Nobody gets any more: lets go whoever waits for room, now and later."""
        self._closed = True
        self._events.clear()
        if self._putting is not None:
            self._putting.unpark_all()


async def _run(app: AppWrapper, config: Config, scope: Scope, queue: Queue, send: Send) -> None:
    try:
        with queue.patience:
            await app(scope, queue.get, send, trio.to_thread.run_sync, trio.from_thread.run)
    except* Exception:  # noqa: BLE001 - Whatever it raises is logged with its traceback.
        await config.log.exception("Error in ASGI Framework")
    finally:
        queue.close()
        await send(None)
