"""One address of a channel: its connection when calls need one, and the backoff after a failure to connect.

    idle        --connect()-->                        connecting
    connecting  --it failed-->                        backing off     --the pause is over-->  idle
    connecting  --the server's SETTINGS arrived-->    ready
    ready       --GOAWAY, or the connection is lost-->  idle

Where health is watched, a connection may also be in two states other than ``ready``: its health is not known yet, or
it is not serving. If it is lost in one of these, the subchannel backs off.

Nothing happens by itself: an idle subchannel connects when a call makes the balancer ask it to. Its attempt, its
connection and its health watch are tasks of the channel's nursery.
"""

from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from echo.rpc.backoff import Backoff
from echo.rpc.dial import reason
from echo.rpc.foreign_cancellation import awaited
from echo.rpc.resolve import Endpoint
from echo.rpc.watch import watch_health
from echo.transport import Backend, ClientCall, ClientSession, Keepalive, Signal, Tally, current_backend
from echo.wire import Limits

# With TLS 1.3, a server checks our certificate after our side of the handshake is done, and may not say what is wrong.
HINT: Final = " right after the TLS handshake: the server may require a client certificate, or refuse ours"


@dataclass(frozen=True)
class Connecting:
    """What the subchannels of a channel share.

    Attributes:
        nursery: Runs their tasks, and those of calls in grpcio's style.
        scheme: ``http`` or ``https``.
        limits: The limits of each connection.
        keepalive: When to send PINGs on a silent connection; a server may make a subchannel send fewer.
        timeout: Seconds until a connection must be ready for calls.
        health_service: The service whose health decides whether a connection is used; None if health is not watched.
        changed: Set whenever a subchannel's state may have changed.
        sessions: The open connections.
        watches: The open calls of health watches, which are the channel's own.
        tally: Counts the connections.
    """

    nursery: TaskGroup
    scheme: str
    limits: Limits
    keepalive: Keepalive | None
    timeout: float
    health_service: str | None = None
    changed: Signal = field(default_factory=Signal)
    sessions: set[ClientSession] = field(default_factory=set)
    watches: set[ClientCall] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)
    _backend: Backend = field(default_factory=current_backend)
    _context: Context = field(default_factory=copy_context)

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, object]], *arguments: object) -> None:
        """Start a task in the nursery, in the context that the channel was opened in, not that of the calling task.

        A connection outlives the call that caused it, and must not keep that call's context variables (a request, a
        trace, a logger's values).
        """
        self._backend.defer_interrupts(function)
        self._context.run(self.nursery.start_soon, function, *arguments)

    def nursery_for(self, function: Callable[..., object]) -> TaskGroup:
        """The nursery, for tasks that run this function in the context of the task that starts them."""
        self._backend.defer_interrupts(function)
        return self.nursery


class Subchannel:
    """One address of a channel.

    Attributes:
        endpoint: The address.
        session: The last connection, open or not.
        backoff: When it may be tried again after a failure.
        failure: A readable reason why it cannot be used; empty if nothing has failed.
        tried: Whether it was ever asked to connect.
    """

    def __init__(self, endpoint: Endpoint, common: Connecting) -> None:
        self.endpoint = endpoint
        self.session: ClientSession | None = None
        self.backoff: Backoff = Backoff()
        self.failure: str = ""
        self.tried: bool = False
        self._common = common
        self._keepalive = common.keepalive
        self._attempt: anyio.CancelScope | None = None
        self._serving: bool | None = None  # None while the server's health is not known.
        self._current: ClientSession | None = None  # The connection, until its loss has been handled.

    @property
    def ready(self) -> bool:
        """Whether it can take calls."""
        session = self.session
        return self._serving is True and session is not None and not session.retiring and not session.ending

    @property
    def pending(self) -> bool:
        """Whether it is connecting, or waiting to learn the server's health."""
        return self._attempt is not None or (self._connected and self._serving is None)

    @property
    def _connected(self) -> bool:
        return self.session is not None and self.session.usable

    def may_connect(self, now: float) -> bool:
        """Whether `connect` may be called: there is no connection, no attempt and no backoff."""
        return self._attempt is None and now >= self.backoff.not_before and not self._connected

    def connect(self) -> None:
        """Start to connect; ``changed`` is set when the outcome is known. Never waits."""
        self.tried = True
        self._attempt = anyio.CancelScope()
        self._common.start_soon(self._connect, self._attempt)
        self._common.changed.set()

    def disconnect(self) -> None:
        """Cancel the attempt to connect, if any, and take no new calls; open calls continue. Never waits."""
        if self._attempt is not None:
            self._attempt.cancel()
        if self.session is not None:
            self.session.retire()

    async def _connect(self, attempt: anyio.CancelScope) -> None:
        try:
            with attempt:
                self.session = session = await self._establish()
                if attempt.cancel_called:
                    session.retire()  # It was cancelled just as it succeeded.
                self._current = session
                self.failure = ""
                if self._common.health_service is None:
                    self._serving = True
                    self.backoff.succeed()
                    self._common.start_soon(self._watch_retirement, session)
                else:
                    self._serving = None
                    self._common.start_soon(self._watch, session, self._common.health_service)
        except OSError as error:
            self._common.tally.refuse("unreachable")
            self._fail(reason(error))
        finally:
            self._attempt = None
            self._common.changed.set()

    async def _establish(self) -> ClientSession:
        last = self.session
        if last is not None and last.pinged_too_often and self._keepalive is not None:
            # The server does not tell its limit; like other gRPC clients, find it by doubling.
            self._keepalive = replace(self._keepalive, time=self._keepalive.time * 2)
            self.session = None
        common = self._common
        try:
            with anyio.fail_after(common.timeout):
                session = await self._open_session()
                if session.drained:
                    session = await self._open_session()  # The connection met a drain; its successor may answer now.
        except TimeoutError:
            raise OSError(f"no answer within {common.timeout:g} s") from None
        if session.drained:
            raise OSError("the server is draining")
        if session.ending:
            raise OSError(session.ending + (HINT if common.scheme == "https" and "TLS" not in session.ending else ""))
        return session

    async def _open_session(self) -> ClientSession:
        """Open a connection and wait until the server's SETTINGS have arrived, or it has ended."""
        common = self._common
        session = ClientSession(await awaited(self.endpoint.dial()), common.limits, self._keepalive, common.tally)
        common.sessions.add(session)
        common.start_soon(self._run, session)
        try:
            await session.ready.wait()
        except BaseException:
            session.stop("connecting was cancelled")
            raise
        return session

    async def _run(self, session: ClientSession) -> None:
        try:
            await session.run()
        finally:
            self._common.sessions.discard(session)
            self._on_session_end(session)

    async def _watch_retirement(self, session: ClientSession) -> None:
        """Set ``changed`` when the connection takes no more calls; with a health watch, `_watch` does."""
        await session.retired.wait()
        if not session.ending:  # Otherwise `_on_session_end` does.
            self._common.changed.set()

    async def _watch(self, session: ClientSession, service: str) -> None:
        def tell(serving: bool) -> None:
            if session is self.session:
                self._serving = serving
                self.failure = "" if serving else "the server is not serving"
                if serving:
                    self.backoff.succeed()
                self._common.changed.set()

        try:
            common, authority = self._common, self.endpoint.authority
            await watch_health(session, common.scheme, authority, service, tell, common.watches)
        finally:
            self._on_session_end(session)

    def _on_session_end(self, session: ClientSession) -> None:
        """Handle a connection that takes no more calls."""
        if self._current is session:
            self._current = None
            if self._serving is not True:  # Back off, or waiting calls would reconnect as often as it is lost.
                self._fail(self.failure or "the connection was lost before the server's health was known")
        self._common.changed.set()

    def _fail(self, failure: str) -> None:
        self.failure = failure
        self.backoff.fail(anyio.current_time())
