"""The server's end of a connection: a task for each call, and the drain that ends it in good order.

Draining follows what gRPC servers do (RFC 9113 §6.8): a GOAWAY that names the highest possible stream asks the client
for no new calls, a PING tells when the client must have read it, and only then does a second GOAWAY name the last
stream that was taken. So no call that the client had already sent is lost.
"""

import logging
import math
import random
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import ByteStream, TaskGroup
from h2.errors import ErrorCodes

from echo.transport.call import Call
from echo.transport.keepalive import Keepalive
from echo.transport.server_call import ServerCall
from echo.transport.session import Session
from echo.wire.connection import LAST_STREAM_ID
from echo.wire.events import Event, HalfClosed, PingAcknowledged, RequestStarted, StreamReset
from echo.wire.head import Trailers
from echo.wire.limits import Limits
from echo.wire.server import ServerConnection
from echo.wire.status import Status

log = logging.getLogger(__name__)

DRAIN_PING: Final = b"echo-bye"
LAST_GREETING: Final = 0.5  # Seconds that a client has to begin to speak once the server drains.

Handle = Callable[[ServerCall], Awaitable[None]]


class ServerSession(Session):
    """One client's connection. ``handle`` serves a call; it is run in a task of its own.

    Attributes:
        calls: How many handlers are running, those included whose call is over but which have not returned yet.
    """

    connection: ServerConnection

    def __init__(self, stream: ByteStream, handle: Handle, limits: Limits, keepalive: Keepalive | None) -> None:
        super().__init__(stream, limits, keepalive)
        self.connection = ServerConnection(limits)
        self.connection.start()
        self.calls = 0
        self._handle = handle
        self._handlers: TaskGroup | None = None
        self._table: dict[int, ServerCall] = {}
        self._waiting: dict[int, ServerCall] = {}  # Those of the table whose handlers have not started, oldest first.
        self._idle_since = anyio.current_time()
        self._draining = False
        self._refusing = False

    async def _exchange(self) -> None:
        async with anyio.create_task_group() as self._handlers, anyio.create_task_group() as watchers:
            if self.limits.max_connection_idle != math.inf:
                watchers.start_soon(self._watch_idleness, self.limits.max_connection_idle)
            if self.limits.max_connection_age != math.inf:
                watchers.start_soon(self._watch_age, self.limits.max_connection_age)
            await super()._exchange()
            watchers.cancel_scope.cancel()

    async def _watch_idleness(self, idle: float) -> None:
        while True:
            left = math.inf if self.calls else self._idle_since + idle - anyio.current_time()
            if left <= 0:
                self.drain()
                return
            # Looked at again when a call may have ended meanwhile, or when the time would be up if none came.
            await anyio.sleep(min(left, idle))

    async def _watch_age(self, age: float) -> None:
        await anyio.sleep(age * random.uniform(0.9, 1.1))  # noqa: S311 - not for secrets
        self.drain()
        await anyio.sleep(self.limits.max_connection_age_grace)
        self.cancel_calls(Trailers(Status.UNAVAILABLE, "the connection has reached its age"))

    async def _serve(self, call: ServerCall) -> None:
        try:
            if call.deadline == math.inf:
                await self._handle(call)
            else:
                with anyio.CancelScope(deadline=call.deadline) as scope:
                    await self._handle(call)
                if scope.cancelled_caught:
                    call.verdict = call.verdict or Trailers(Status.DEADLINE_EXCEEDED, "the deadline passed")
        except Exception:
            # The handler answers for its own errors. Should it fail at that, the other calls do not suffer for it.
            log.exception("%s could not be answered", call.request.path)
            call.abort(Trailers(Status.INTERNAL, "internal server error"))
        finally:
            if call.verdict is not None:
                call.abort(call.verdict)  # Does nothing to a call that was ended in spite of it.
            self.calls -= 1
            self._start_waiting()
            self._idle_since = anyio.current_time()
            self.release(call)

    def release(self, call: Call) -> None:  # noqa: D102 - as in Session
        self._table.pop(call.id, None)
        if self._refusing and not self.calls:
            self.stop("the server is shutting down")

    def drain(self) -> None:
        """Take no new calls, let those go on that run, end when the last has ended. Never waits; may be repeated."""
        if not self._draining:
            self._draining = True
            self.connection.goaway(last_stream_id=LAST_STREAM_ID)
            self.connection.ping(DRAIN_PING)
            self.wake_writer()
            if not self._greeted:
                # Its first call may be on its way with its SETTINGS. But who has nothing to say shall not hold us up.
                self._reading.deadline = min(self._reading.deadline, anyio.current_time() + LAST_GREETING)

    def cancel_calls(self, verdict: Trailers) -> None:
        """Cancel every handler; the clients are told the verdict. Never waits."""
        self._refusing = True
        for call in list(self._table.values()):
            call.give_up(verdict)
        if not self.calls:
            self.stop("the server is shutting down")

    def _call(self, stream_id: int) -> Call | None:
        return self._table.get(stream_id)

    def _end_calls(self) -> None:
        for call in list(self._table.values()):
            call.break_off(Trailers(Status.UNAVAILABLE, self.ending))
        self._waiting.clear()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, RequestStarted):
            self._accept(event)
        elif isinstance(event, HalfClosed):
            call = self._table.get(event.stream_id)
            if call is not None:
                call.end()
        elif isinstance(event, StreamReset):
            call = self._table.pop(event.stream_id, None)
            self._waiting.pop(event.stream_id, None)
            if call is not None:
                call.break_off(Trailers(Status.CANCELLED))
        elif isinstance(event, PingAcknowledged) and event.data == DRAIN_PING and self._draining:
            self._refusing = True
            self.connection.goaway()
            if not self.calls:
                self.stop("the server is shutting down")

    def _accept(self, event: RequestStarted) -> None:
        limit = self.limits.max_concurrent_streams
        if self._refusing or len(self._table) >= limit:
            # Told so in SETTINGS or GOAWAY; the client may try the call again (RFC 9113 §8.7).
            self.connection.reset(event.stream_id, ErrorCodes.REFUSED_STREAM)
            return
        call = self._table[event.stream_id] = ServerCall(self, event.stream_id, event.request)
        if self.calls < limit:
            self._start(call)
        else:
            # Handlers of calls that were reset have yet to return. The client is within its right: a stream that is
            # reset does not count any more (RFC 9113 §5.1.2). But never do more handlers run than streams are allowed.
            self._waiting[event.stream_id] = call

    def _start(self, call: ServerCall) -> None:
        assert self._handlers is not None  # Events come from within _exchange.
        self.calls += 1
        call.task = self._handlers.start_soon(self._serve, call, name=call.request.path)

    def _start_waiting(self) -> None:
        while self._waiting and self.calls < self.limits.max_concurrent_streams:
            stream_id = next(iter(self._waiting))
            call = self._waiting.pop(stream_id)
            if call.verdict is None:
                self._start(call)
            else:
                call.abort(call.verdict)
                self._table.pop(stream_id, None)
