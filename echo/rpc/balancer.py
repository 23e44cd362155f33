"""Chooses the connection for each call: resolves the channel's addresses and picks among them.

A balancer has no idle task. A call without a connection drives it: it starts look-ups and connection attempts, waits
for a change, and tries again. All waiting calls share the outcome. Attempts and look-ups run as tasks of the channel,
so they continue if the call that started them is cancelled.

A call without wait-for-ready fails once every address has failed since it began to wait, or is backing off after
earlier failures.
"""

import math
import random
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final

import anyio

from echo.rpc.backoff import Backoff
from echo.rpc.connectivity import ChannelState, overall
from echo.rpc.dial import reason
from echo.rpc.foreign_cancellation import awaited
from echo.rpc.policies import Policy
from echo.rpc.resolve import MAX_ENDPOINTS, Endpoint, Resolve
from echo.rpc.subchannel import Connecting, Subchannel
from echo.transport import ClientSession
from echo.wire import GRPCError, Status

# Seconds that a look-up has before addresses that are known already are tried (as in RFC 8305 §3).
RESOLUTION_DELAY: Final = 0.05
# Seconds between look-ups of a name, at least, as in other gRPC clients.
LOOKUP_INTERVAL: Final = 30.0
MAX_REASONS: Final = 3  # Addresses whose failures an error lists.


class _Seen:
    """The failures that had already happened when a call began to wait."""

    def __init__(self, lookups: Backoff) -> None:
        self._lookups = lookups
        self._failed_lookups = lookups.failures
        self._failures: dict[Subchannel, int] = {}

    def failed_since(self, subchannel: Subchannel) -> bool:
        """Whether the subchannel has failed since; a new subchannel counts from now."""
        failures = subchannel.backoff.failures
        return self._failures.setdefault(subchannel, failures) != failures

    def lookup_failed_since(self) -> bool:
        """Whether a look-up has failed since."""
        return self._lookups.failures != self._failed_lookups


class Balancer:
    """The subchannels of a channel.

    Args:
        target: The channel's target, for messages.
        resolve: Resolves the target to addresses.
        policy: Chooses among the addresses.
        common: What all connections share.
        lookup_interval: The shortest time between look-ups, in seconds.
    """

    def __init__(
        self,
        target: str,
        resolve: Resolve,
        policy: Policy,
        common: Connecting,
        lookup_interval: float = LOOKUP_INTERVAL,
    ) -> None:
        self._target = target
        self._resolve = resolve
        self._policy = policy
        self._common = common
        self._lookup_interval = lookup_interval
        self._subchannels: list[Subchannel] = []
        self._lookup: anyio.CancelScope | None = None
        self._later_lookup: anyio.CancelScope | None = None
        self._lookups = Backoff()
        self._lookup_failure = ""
        self._looked_up = -math.inf
        self._waiting = 0  # Calls that wait for a connection.
        self._looking_since = -math.inf
        self._random_key = random.getrandbits(64)
        self._connecting: anyio.CancelScope | None = None
        self._closed = False

    def choose(self, avoided: Collection[ClientSession] = ()) -> Subchannel | None:
        """Choose a ready subchannel; None if none is ready. Never waits.

        Args:
            avoided: Connections that have refused the call or already carry it; others are preferred.
        """
        chosen = self._policy.choose(self._subchannels, avoided)
        if chosen is not None and self._policy.spreads:
            for subchannel in self._subchannels:
                if not subchannel.ready:
                    self._start_attempts(None, anyio.current_time())  # So that the others get calls again.
                    break
        return chosen

    async def wait(self, *, for_ready: bool, avoided: Collection[ClientSession] = ()) -> Subchannel:
        """Wait for a ready subchannel.

        Args:
            for_ready: Wait without limit, not only until every address has failed.
            avoided: As in `choose`.

        Raises:
            GRPCError: UNAVAILABLE: no connection could be made.
        """
        self._waiting += 1
        try:
            return await self._wait(for_ready=for_ready, avoided=avoided)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._common.changed.set()  # Between two attempts, the state depends on whether a call waits.

    def connect_soon(self) -> None:
        """Have a task of the channel's wait for a ready subchannel, if none does yet. Never waits."""
        if self._connecting is None and not self._closed:
            self._connecting = anyio.CancelScope()
            self._common.start_soon(self._connect, self._connecting)

    async def _connect(self, scope: anyio.CancelScope) -> None:
        try:
            with scope, suppress(GRPCError):  # The channel is closed.
                await self.wait(for_ready=True)
        finally:
            self._connecting = None

    async def _wait(self, *, for_ready: bool, avoided: Collection[ClientSession]) -> Subchannel:
        seen = None if for_ready else _Seen(self._lookups)
        while True:
            if self._closed:
                raise GRPCError(Status.UNAVAILABLE, f"cannot connect to {self._target}: the channel is closed")
            chosen = self.choose(avoided)
            if chosen is not None:
                return chosen
            now = anyio.current_time()
            again = self._start_attempts(seen, now)
            if for_ready:
                again = min(again, self._next_attempt(now))
            elif self._lookup is None and not any(subchannel.pending for subchannel in self._subchannels):
                raise GRPCError(Status.UNAVAILABLE, self.failure or f"cannot connect to {self._target}")
            with anyio.CancelScope(deadline=again):
                await self._common.changed.wait()

    @property
    def closed(self) -> bool:
        """Whether the channel is closed."""
        return self._closed

    @property
    def state(self) -> ChannelState:
        """The channel's connectivity state."""
        if self._closed:
            return ChannelState.SHUTDOWN
        if self._subchannels:
            state = overall(self._subchannels)
        elif self._lookup is not None:
            state = ChannelState.CONNECTING
        else:
            state = ChannelState.TRANSIENT_FAILURE if self._lookup_failure else ChannelState.IDLE
        # A waiting call starts the next attempt as soon as one is due.
        return ChannelState.CONNECTING if state is ChannelState.IDLE and self._waiting else state

    @property
    def failure(self) -> str:
        """A readable reason why there is no connection; empty if nothing has failed."""
        reasons: dict[str, str] = {}
        for subchannel in self._subchannels:
            if subchannel.failure:
                reasons.setdefault(subchannel.failure, subchannel.endpoint.address)
        if not self._subchannels and self._lookup_failure:
            reasons[self._lookup_failure] = ""
        if not reasons:
            return ""
        if len(reasons) == 1:
            text = next(iter(reasons))
        else:
            reported = [f"{text} ({address})" for text, address in list(reasons.items())[:MAX_REASONS]]
            text = "; ".join(reported)
        return f"cannot connect to {self._target}: {text}"

    def close(self) -> None:
        """Stop connecting. Never waits; the channel ends the connections."""
        self._closed = True
        for lookup in (self._lookup, self._later_lookup):
            if lookup is not None:
                lookup.cancel()
        for subchannel in self._subchannels:
            subchannel.disconnect()
        self._common.changed.set()

    def _start_attempts(self, seen: _Seen | None, now: float) -> float:
        """Start the look-up and the connection attempts that are due. Returns when more may be due."""
        hopeful = self._subchannels
        if seen is not None:
            hopeful = [subchannel for subchannel in hopeful if not seen.failed_since(subchannel)]
        due = [subchannel for subchannel in hopeful if subchannel.may_connect(now)]
        self._look_up_if_due(due, seen, now)
        if self._lookup is not None and self._subchannels and not self._policy.spreads:
            # Other addresses may come first by now; servers that limit connection ages rely on that.
            patience = self._looking_since + RESOLUTION_DELAY
            if now < patience:
                return patience
        return self._policy.connect(self._subchannels, due, now)

    def _next_attempt(self, now: float) -> float:
        """When the next backoff ends."""
        pauses = [self._lookups, *(subchannel.backoff for subchannel in self._subchannels)]
        return min((pause.not_before for pause in pauses if pause.not_before > now), default=math.inf)

    # Addresses

    def _look_up_if_due(self, due: Sequence[Subchannel], seen: _Seen | None, now: float) -> None:
        """Have a look-up if there are no addresses, or alongside an attempt to replace a lost connection."""
        if not self._subchannels:
            if seen is None or not seen.lookup_failed_since():
                self._start_look_up(now)
        elif any(subchannel.tried for subchannel in due):
            pause = self._looked_up + self._lookup_interval - now
            if pause <= 0:
                self._start_look_up(now)
            elif self._later_lookup is None:  # The connection may be replaced before, and others be missing.
                self._later_lookup = anyio.CancelScope()
                self._common.start_soon(self._look_up_later, self._later_lookup, pause)

    async def _look_up_later(self, scope: anyio.CancelScope, pause: float) -> None:
        try:
            with scope:
                await anyio.sleep(pause)
                now = anyio.current_time()
                if now >= self._looked_up + self._lookup_interval:  # An attempt may have had one meanwhile.
                    self._start_look_up(now)
        finally:
            self._later_lookup = None

    def _start_look_up(self, now: float) -> None:
        if self._lookup is None and now >= self._lookups.not_before:
            self._lookup = anyio.CancelScope()
            self._looking_since = now
            self._common.start_soon(self._look_up, self._lookup)
            self._common.changed.set()

    async def _look_up(self, scope: anyio.CancelScope) -> None:
        timeout = self._common.timeout
        try:
            with scope:
                try:
                    with anyio.fail_after(timeout):
                        endpoints = await awaited(self._resolve())
                except TimeoutError:
                    raise OSError(f"no address within {timeout:g} s") from None
                if not endpoints:
                    raise OSError("it has no address")
                self._update_subchannels(endpoints)
                self._lookups.succeed()
                self._looked_up = anyio.current_time()
        except OSError as error:
            self._lookups.fail(anyio.current_time())
            self._lookup_failure = reason(error)
        finally:
            self._lookup = None
            self._common.changed.set()

    def _update_subchannels(self, endpoints: Sequence[Endpoint]) -> None:
        """Keep the subchannels whose addresses are still listed, add new ones, disconnect the others."""
        known = {subchannel.endpoint: subchannel for subchannel in self._subchannels}
        taken = list(dict.fromkeys(endpoints))
        if len(taken) > MAX_ENDPOINTS and self._policy.spreads:
            # Channels choose different addresses, so that every server gets calls; and each channel the same ones every
            # time, so that look-ups cost no connections. Hashes of tuples would not do: they mix their items so little
            # that now and then several channels leave out the same ones.
            taken.sort(key=lambda endpoint: hash(f"{self._random_key} {endpoint.address} {endpoint.authority}"))
        self._subchannels = [
            known.pop(endpoint) if endpoint in known else Subchannel(endpoint, self._common)
            for endpoint in taken[:MAX_ENDPOINTS]
        ]
        for gone in known.values():
            gone.disconnect()
