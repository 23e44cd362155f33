"""The tasks of one connection, one for each request: Hypercorn's task group.

Upstream: the queue of an application that has ended stays open. Once it holds ten events, the connection's reader waits
for room in it forever. The disconnect event waits for room, too, if the application takes no events because it is
waiting for something else. Here that event never waits, and an application that does not receive it in time is
cancelled. And while an upload waits for room, nothing is read, so the end of the connection would go unnoticed for as
long as the application takes nothing. Here the connection is looked at meanwhile. And the application runs for a
request whose client has already left: thousands of requests that are reset at once all run, one after the other. Here
it only does for a WebSocket, to which its client may have sent messages.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.typing import AppWrapper, ASGIReceiveEvent, ASGISendEvent, Scope

from echo.gateway.hypercorn_compat.containment import contain_faults
from echo.gateway.hypercorn_compat.pace import Pace
from echo.gateway.hypercorn_compat.timing import CLOSE_TIMEOUT

DISCONNECTS: Final = ("http.disconnect", "websocket.disconnect")

CHECK_INTERVAL: Final = 2.0  # Seconds between looks at the connection while an upload waits for room.

Put = Callable[[ASGIReceiveEvent], Awaitable[None]]
Send = Callable[[ASGISendEvent | None], Awaitable[None]]


class Tasks:
    """Runs applications in the connection's nursery.

    Args:
        nursery: The nursery.
        peer_has_left: Tells whether the peer has closed or reset the connection, even if data of its are unread.
        pace: Says when a WebSocket's application may begin.

    Attributes:
        served: Whether it has run any.
        running: How many run now.
    """

    def __init__(self, nursery: trio.Nursery, peer_has_left: Callable[[], bool], pace: Pace) -> None:
        self.served = False
        self.running = 0
        self._nursery = nursery
        self._peer_has_left = peer_has_left
        self._pace = pace

    def spawn(self, function: Callable[..., Awaitable[object]], *arguments: object) -> None:
        """Start a task; a fault in it ends the connection."""
        self._nursery.start_soon(self._run_contained, function, *arguments)

    async def _run_contained(self, function: Callable[..., Awaitable[object]], *arguments: object) -> None:
        with contain_faults(self._nursery.cancel_scope):
            await function(*arguments)

    async def spawn_app(self, app: AppWrapper, config: Config, scope: Scope, send: Send) -> Put:
        """Start the application for one request; returns a function that queues events for it.

        ``send`` is called with each message of the application, and with None when it has ended. Events queued after
        that are dropped.
        """
        self.served = True
        self.running += 1
        queue = Queue(config.max_app_queue_size, self._peer_has_left)
        self._nursery.start_soon(self._run, app, config, scope, queue, send)
        return queue.put

    async def _run(self, app: AppWrapper, config: Config, scope: Scope, queue: "Queue", send: Send) -> None:
        try:
            with queue.app_scope:
                if scope["type"] == "websocket" and not self._pace.handshakes.take():
                    await self._pace.handshakes.wait()
                if not queue.left:
                    await app(scope, queue.get, send, trio.to_thread.run_sync, trio.from_thread.run)
        except* Exception:  # noqa: BLE001 - logged with its traceback
            await config.log.exception("Error in ASGI Framework")
        finally:
            self.running -= 1
            queue.close()
            await send(None)


class Queue:
    """A short queue of events for an application. Empty, it takes a fifth of the memory of a trio channel.

    Attributes:
        app_scope: The application runs in it; cancelled if it does not receive the disconnect event in time.
    """

    __slots__ = ("_closed", "_dropping", "_events", "_getting", "_peer_has_left", "_putting", "_size", "app_scope")

    def __init__(self, size: int, peer_has_left: Callable[[], bool]) -> None:
        self._peer_has_left = peer_has_left
        self.app_scope = trio.CancelScope()
        self._size = size
        self._events: list[ASGIReceiveEvent] = []
        self._closed = False  # The application has ended.
        self._dropping = False  # The peer has left while its upload waited.
        self._getting = trio.lowlevel.ParkingLot()
        self._putting: trio.lowlevel.ParkingLot | None = None  # Created when first needed.

    @property
    def left(self) -> bool:
        """Whether the client of a request has left. A WebSocket's may have sent messages before, which count."""
        return bool(self._events) and self._events[-1]["type"] == "http.disconnect"

    async def put(self, event: ASGIReceiveEvent) -> None:
        """Add an event; waits while there is no room, and does nothing once the application has ended.

        The disconnect event, of which there is at most one, never waits. An upload whose peer has left is dropped
        instead of waiting, so that the disconnect event follows at once.
        """
        last = event["type"] in DISCONNECTS
        while len(self._events) >= self._size and not (last or self._closed or self._dropping):
            if self._putting is None:
                self._putting = trio.lowlevel.ParkingLot()
            with trio.move_on_after(CHECK_INTERVAL) as waiting:
                await self._putting.park()
            if waiting.cancelled_caught and event["type"] == "http.request" and self._peer_has_left():
                self._dropping = True
        if self._closed or (self._dropping and not last):
            return
        if last:
            self.app_scope.deadline = trio.current_time() + CLOSE_TIMEOUT
        self._events.append(event)
        self._getting.unpark()

    async def get(self) -> ASGIReceiveEvent:
        """Get the next event."""
        if len(self._events) > 1:
            await trio.lowlevel.checkpoint()  # The application is behind: others run first.
        elif self._events:
            await trio.lowlevel.checkpoint_if_cancelled()
        while not self._events:
            await self._getting.park()
        if self._putting is not None:
            self._putting.unpark()
        event = self._events.pop(0)
        if event["type"] in DISCONNECTS:
            self.app_scope.deadline = math.inf
        return event

    def close(self) -> None:
        """Drop all events, now and later, and wake those waiting for room."""
        self._closed = True
        self._events.clear()
        if self._putting is not None:
            self._putting.unpark_all()


async def discard(event: ASGIReceiveEvent) -> None:
    """Drop an event, since the application is not running."""
