"""The server's end of a connection: calls and their handlers, and the graceful drain.

The drain is that of gRPC servers (RFC 9113 §6.8). A GOAWAY with the highest possible stream id asks the client to open
no new calls. The answer to a PING shows that the client has read it. Only then does a second GOAWAY name the last
stream that was accepted. So no call that the client had already sent is lost.
"""

import logging
import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Final, cast

import anyio
from anyio.abc import ByteStream

from echo.transport.backend import Nursery
from echo.transport.call import Call
from echo.transport.handlers import Handle, Handlers
from echo.transport.keepalive import Keepalive
from echo.transport.refusals import RefusalLog
from echo.transport.server_call import ServerCall
from echo.transport.session import Session
from echo.transport.tally import Tally
from echo.transport.watching import CallObserver, CallRegister, CallTrace
from echo.wire import (
    MAX_STREAM_ID,
    ConnectionFailed,
    DataReceived,
    ErrorCode,
    Field,
    GoAwayReceived,
    HalfClosed,
    Limits,
    RequestRefused,
    RequestStarted,
    ServerConnection,
    Status,
    StreamReset,
    Trailers,
    describe_code,
    read_refused,
)

log = logging.getLogger(__name__)

DRAIN_PING: Final = b"echo-bye"
DRAIN_PATIENCE: Final = 5.0  # Seconds to wait for the answer to it.
LAST_GREETING: Final = 0.5  # Seconds that a client has to send its preface once the server drains.

_numbers = count(1)


class ServerSession(Session):
    """One client's connection. ``handle`` serves a call.

    ``refusals``, which logs clients that violate the protocol, and ``tally`` are shared by all connections of a server.
    ``register`` is told of calls, and ``observer_for`` gives some observers: it is called with each call and its header
    list as its head arrives, and raises nothing.

    Attributes:
        number: The connection's number, unique within the process.
    """

    connection: ServerConnection[ServerCall]

    _peer_role = "client"

    def __init__(
        self,
        stream: ByteStream,
        handle: Handle,
        limits: Limits,
        keepalive: Keepalive | None,
        refusals: RefusalLog | None = None,
        observer_for: Callable[[ServerCall, Sequence[Field]], CallObserver | None] | None = None,
        tally: Tally | None = None,
        register: CallRegister | None = None,
    ) -> None:
        super().__init__(stream, limits, keepalive, tally)
        self._refusals = RefusalLog(log) if refusals is None else refusals
        self._register = register
        self._ended: list[ServerCall] = []  # Calls that are registered after the writer's turn.
        self._observer_for = observer_for
        self.number: int = next(_numbers)
        self.connection = ServerConnection(limits, partial(ServerCall if register is None else register.calls, self))
        self._handlers = Handlers(
            self.backend,
            limits.max_concurrent_streams,
            handle,
            self._note_over,
            None if register is None else register.enter,
            self._retire,
        )
        self._idle_since = anyio.current_time()
        self._draining = self._spoiled = False  # Spoiled: the handlers' nursery will fail.
        self._reactions |= {
            RequestStarted: self._on_request,
            RequestRefused: self._on_refused,
            DataReceived: self._on_data,
            HalfClosed: self._on_half_closed,
            StreamReset: self._on_reset,
            GoAwayReceived: lambda _: None,  # A client's only refuses pushes, and the client will close by itself.
        }

    async def _exchange(self) -> None:
        try:
            await super()._exchange()
        except* RuntimeError:
            if not self._spoiled:  # Otherwise it was logged, with the method.
                raise
        finally:
            self._handlers.let_go()

    def _start_tasks(self, tasks: Nursery) -> None:
        super()._start_tasks(tasks)
        self._handlers.nursery = tasks
        if self.limits.max_connection_idle != math.inf:
            tasks.start_soon(self._watch_idleness, self.limits.max_connection_idle)
        if self.limits.max_connection_age != math.inf:
            tasks.start_soon(self._watch_age, self.limits.max_connection_age)
        if self._draining:
            tasks.start_soon(self._finish_drain)

    async def _watch_idleness(self, idle: float) -> None:
        while True:
            left = self._idle_since + idle - anyio.current_time() if self._handlers.idle else math.inf
            if left <= 0:
                self.drain()
                return
            # Check again when the time would be up without calls, or when a call may have ended meanwhile.
            await anyio.sleep(min(left, idle))

    async def _watch_age(self, age: float) -> None:
        await anyio.sleep(age * random.uniform(0.9, 1.1))  # noqa: S311 - not for secrets
        self.drain()
        await anyio.sleep(self.limits.max_connection_age_grace)
        self.cancel_calls(Trailers(Status.UNAVAILABLE, "the connection reached its maximum age"))

    # Handlers

    @property
    def calls(self) -> int:
        """How many handlers are running, including those whose call is over but which have not returned yet."""
        return self._handlers.running

    def _note_over(self, call: ServerCall, refused: bool = False) -> None:
        """Note that a call is over and its handler, if it began, has returned, or that the call was refused."""
        if call.verdict is not None:
            call.abort(call.verdict)  # Does nothing if the handler has ended the call even so.
        if self._register is not None:
            if self._bell.rung and not self._unsent and not refused:  # The writer runs before the event loop waits.
                if not self._ended:
                    self.do_after_turn(self._register_ended)
                self._ended.append(call)
            else:
                self._register.end((call,), self.backend.now(), refused=refused)
        if call.observer is not None:
            call.observer.over()
        if self._handlers.idle and not refused:
            if self.limits.max_connection_idle != math.inf:
                self._idle_since = anyio.current_time()
            if self.connection.refusing:
                self._end_if_done()

    def _register_ended(self) -> None:
        """Enter calls in the register whose responses the writer has sent: together, which takes half the time."""
        if self._register is not None:
            self._register.end(self._ended, self.backend.now())
            self._ended.clear()

    def trace_of(self, call: ServerCall) -> CallTrace | None:
        """The call's trace; None if it is not traced."""
        return None if self._register is None else self._register.trace_of(call)

    def release(self, call: Call) -> None:  # noqa: D102 - as in Session
        self._handlers.discard(cast("ServerCall", call))

    def cancel_calls(self, verdict: Trailers) -> None:
        """Cancel every handler; the clients get the verdict. Never waits."""
        self._refuse_calls()
        for call in list(self.connection.streams.values()):
            call.give_up(verdict, "draining")
        self._handlers.discard_given_up()

    def _retire(self) -> None:
        """Take no new calls, as the handlers' nursery will fail; end once the running ones are over."""
        self._spoiled = True
        self.drain()
        self._refuse_calls()

    def _give_up_waiting(self) -> None:
        super()._give_up_waiting()
        self.tally.refuse("timeout")

    def _end_calls(self) -> None:
        for call in list(self.connection.streams.values()):
            call.break_off(Trailers(Status.UNAVAILABLE, self.ending), "connection lost")
            self.release(call)

    # Drain

    def drain(self) -> None:
        """Take no new calls, let running calls finish, then end. Never waits; may be repeated."""
        if not self._draining and not self.ending:
            self._draining = True
            self.tally.drained += 1
            for call in self.connection.streams.values():
                if (trace := self.trace_of(call)) is not None:
                    trace.draining()
            self.connection.goaway(last_stream_id=MAX_STREAM_ID)
            self.flush_soon()
            if not self._greeted:
                # Its first call may arrive with its SETTINGS. But a silent client must not delay the drain.
                self._reading.deadline = min(self._reading.deadline, anyio.current_time() + LAST_GREETING)
            if self._tasks is not None:
                self._tasks.start_soon(self._finish_drain)

    async def _finish_drain(self) -> None:
        """Refuse new calls once the client has answered a PING after the GOAWAY, or `DRAIN_PATIENCE` is over."""
        await self._ping(DRAIN_PING, DRAIN_PATIENCE)
        self._refuse_calls()

    def _refuse_calls(self) -> None:
        """Take no calls any more, and end after the last one."""
        if not self.connection.refusing:
            self.connection.goaway()
            self.flush_soon()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self.connection.refusing and self._handlers.idle:
            self.stop("the server is shutting down", linger=math.inf)

    # Events

    def _on_request(self, event: RequestStarted[ServerCall]) -> None:
        call = event.stream
        call.begin(event.request, self.last_received)
        if self._register is not None:
            self._register.begin(call)
        if self._observer_for is not None:
            call.observer = self._observer_for(call, event.fields)
        # If as many handlers are running as streams are allowed, some have yet to return although their calls are over.
        # The client is within its rights: streams that are over do not count (RFC 9113 §5.1.2). So the call waits.
        self._handlers.add(call)

    def _on_refused(self, event: RequestRefused[ServerCall]) -> None:
        event.stream.begin(read_refused(event.fields), self.last_received)
        self._note_over(event.stream, refused=True)

    def _on_data(self, event: DataReceived[ServerCall]) -> None:
        for call in event.streams:
            call.note_data()
            if call.stream_trace is not None:
                call.stream_trace.received()

    def _on_half_closed(self, event: HalfClosed[ServerCall]) -> None:
        call = event.stream
        call.note_end()
        if call.stream_trace is not None:
            call.stream_trace.half_closed()
        if call.observer is not None:
            call.observer.half_closed()

    def _on_reset(self, event: StreamReset[ServerCall]) -> None:
        verdict = Trailers(Status.CANCELLED, f"the call was reset ({describe_code(event.error_code)})")
        event.stream.break_off(verdict, "cancelled" if event.error_code == ErrorCode.CANCEL else "reset")
        self.release(event.stream)

    def _on_failure(self, event: ConnectionFailed) -> None:
        if event.foreign:
            self.stop(event.reason, linger=math.inf)  # Let it read the answer in its own protocol.
        super()._on_failure(event)
        self.tally.refuse("not HTTP/2" if event.foreign else describe_code(event.error_code))
        self._refusals.tell("connection of %s refused: %s", self.peer, event.reason)
