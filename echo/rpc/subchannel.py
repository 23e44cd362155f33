"""The way to one address: a connection when somebody wants one, and a pause after it could not be had.

    idle        --connect()-->                   connecting
    connecting  --it failed-->                   backing off     --the pause is over-->  idle
    connecting  --the server's SETTINGS came-->  ready
    ready       --GOAWAY, or it was lost-->      idle

Where health is watched, ``ready`` has two more states before and beside it: not known yet, and not serving. A
connection that is lost in one of these leads to ``backing off``.

Nothing happens by itself: an idle subchannel, or one whose pause is over, connects when a call makes the balancer ask
it to. Its attempt, its connection and the watch over the server's health are tasks of the channel's nursery.
"""

from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from echo.rpc.backoff import Backoff
from echo.rpc.dial import reason
from echo.rpc.resolve import Endpoint
from echo.rpc.watch import HealthWatch
from echo.transport import ClientCall, ClientSession, Keepalive, Signal, Tally
from echo.wire import Limits

# With TLS 1.3 a server judges our certificate after the handshake is over for us, and not every one says what it found.
HINT: Final = " right after the TLS handshake: it may want a certificate of ours, or another one"


@dataclass(frozen=True)
class Connecting:
    """What the subchannels of a channel have in common.

    Attributes:
        nursery: Where their tasks run.
        scheme: ``http`` or ``https``.
        limits: What a connection may occupy.
        keepalive: When to ask a silent server whether it is still there, to begin with.
        timeout: Seconds a connection may take to be ready for calls.
        health_service: Whose health decides whether a connection is used; None to use it regardless.
        changed: Set whenever a subchannel may be in another state than before.
        sessions: The connections that are open.
        watches: The calls among theirs that are the channel's own.
        tally: Where they are counted.
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
    _context: Context = field(default_factory=copy_context)

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, object]], *arguments: object) -> None:
        """Start a task in the nursery: in the context that the channel was opened in, not in its first caller's.

        A connection outlives the call it was made for, whose context variables (a request, a trace, what a log adds to
        its lines) are none of its business, and would be kept as long.
        """
        self._context.run(self.nursery.start_soon, function, *arguments)


class Subchannel:
    """One address of a channel's.

    Attributes:
        endpoint: Where it leads.
        session: The last connection, whatever has become of it.
        backoff: When it may be tried again after it failed.
        failure: Why it cannot be used, for people; empty if nothing went wrong.
        tried: Whether it was ever asked to connect.
    """

    def __init__(self, endpoint: Endpoint, common: Connecting) -> None:
        self.endpoint = endpoint
        self.session: ClientSession | None = None
        self.backoff = Backoff()
        self.failure = ""
        self.tried = False
        self._common = common
        self._keepalive = common.keepalive
        self._attempt: anyio.CancelScope | None = None
        self._serving: bool | None = None  # None while it is not known.
        self._attended: ClientSession | None = None  # The connection, until its loss has been taken note of.

    @property
    def ready(self) -> bool:
        """Whether calls may go this way."""
        return self._serving is True and self.session is not None and self.session.usable

    @property
    def pending(self) -> bool:
        """Whether it will be known before long if it can be used."""
        return self._attempt is not None or (self._connected and self._serving is None)

    @property
    def _connected(self) -> bool:
        return self.session is not None and self.session.usable

    def may_connect(self, now: float) -> bool:
        """Whether `connect` would do anything: there is no connection and no attempt, and no pause to be kept."""
        return self._attempt is None and now >= self.backoff.not_before and not self._connected

    def connect(self) -> None:
        """Begin an attempt to connect; ``changed`` tells when its outcome is known. Never waits."""
        self.tried = True
        self._attempt = anyio.CancelScope()
        self._common.start_soon(self._connect, self._attempt)
        self._common.changed.set()

    def disconnect(self) -> None:
        """Give up what is being attempted, take no new calls, let those finish that run. Never waits."""
        if self._attempt is not None:
            self._attempt.cancel()
        if self.session is not None:
            self.session.retire()

    async def _connect(self, attempt: anyio.CancelScope) -> None:
        try:
            with attempt:
                self.session = session = await self._establish()
                if attempt.cancel_called:
                    session.retire()  # It came at the very moment at which it was no longer wanted.
                self._attended = session
                self.failure = ""
                if self._common.health_service is None:
                    self._serving = True
                    self.backoff.succeed()
                    self._common.start_soon(self._tell_when_retired, session)
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
            # The server's policy cannot be known otherwise; gRPC clients find it by doubling.
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
        session = ClientSession(await self.endpoint.dial(), common.limits, self._keepalive, common.tally)
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
            self._over(session)

    async def _tell_when_retired(self, session: ClientSession) -> None:
        """Where no watch over the server's health does."""
        await session.retired.wait()
        if not session.ending:  # Or `_over` tells, when it knows more.
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
            await HealthWatch(session, common.scheme, authority, service, tell, common.watches).run()
        finally:
            self._over(session)

    def _over(self, session: ClientSession) -> None:
        """The connection takes no more calls."""
        if self._attended is session:
            self._attended = None
            if self._serving is not True:  # Or those who wait would connect as often as it is lost.
                self._fail(self.failure or "the connection was lost before the server's health was known")
        self._common.changed.set()

    def _fail(self, failure: str) -> None:
        self.failure = failure
        self.backoff.fail(anyio.current_time())
