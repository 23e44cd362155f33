"""The survey: all checks in one nursery, under one deadline, and each under its own.

Checks that wait (ladders of idle times) begin at once and run throughout. Most others run in parallel; then
those that must be alone run one by one. Last are those that may make a hop consider the server unhealthy (after one
truncated reply, nginx sends a server no calls for 10 s if there are others), the mildest first: the reverse of their
order in the table. With --quick over a long way, those that carry much come even later, as they would leave no time for
the rest. A check is skipped if one that it needs is broken.

A check that came out badly while others ran is tried once more, together only with others that did: on a busy machine
it may just have lacked time. If it survives then, it has survived. Checks that measure what waiting checks use up are
tried again after these.

A network that is merely slow must not be called broken. Where connecting takes long, checks get more time; and if all
that a check has seen is that something did not come in time, it is believed only if plain calls are fast, and tried
again in the end.

Nor may a limit of connections be taken for anything else: once HTTP/2 has been spoken, a check of which a connection
was not served is inconclusive, unless it has survived.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol

import trio

from echo.advice import advice_for, advice_for_message
from echo.probe.check import Check, Kind, Scheduling
from echo.probe.checks.http2 import Http2Check
from echo.probe.checks.message_size import LOSES_PACKETS, MessageSize
from echo.probe.facts import explore
from echo.probe.failures import failed, unconnected
from echo.probe.finding import Finding, Outcome, inconclusive, skipped
from echo.probe.line import Line
from echo.probe.path import Path
from echo.probe.pods import each_server
from echo.probe.report import Facts, Report, Result
from echo.probe.slowness import unless_slow
from echo.probe.unserved import Unserved

log = logging.getLogger(__name__)

TRIPS: Final = 20  # Times that connecting took, which a check may take in addition.
MOST_TRIPS: Final = 10.0  # Seconds that these are at most.
AGAIN: Final = 0.15  # Fraction of the budget for second tries.
SIDE_BY_SIDE: Final = 8  # Checks at once: more would disturb each other on a small machine.
BAD: Final = (Outcome.BROKEN, Outcome.LIMITED)
FAR: Final = 0.03  # Seconds that connecting takes, from which on large messages do not fit into --quick.
PLACES_FAR: Final = 16  # Checks at once over such a path: they mostly wait for its round trips.
NO_TIME: Final = "There was no time left for it: run it by itself (--only {name})."
NO_TIME_QUICK: Final = "There was no time left for it: leave out --quick, or run it by itself (--only {name})."
RESERVE: Final = 1.0  # Seconds of the budget kept for the report.


class ProgressListener(Protocol):
    """Is notified of progress. Its methods never wait."""

    def begin(self, check: Check) -> None:
        """A check has begun."""

    def end(self, check: Check, result: Result) -> None:
        """A check has its outcome."""


class IgnoreProgress:
    """A listener that ignores everything."""

    def begin(self, check: Check) -> None:
        """Does nothing."""

    def end(self, check: Check, result: Result) -> None:
        """Does nothing."""


class Survey:
    """One survey of a path.

    Attributes:
        results: The results so far, by name.
    """

    def __init__(self, path: Path, checks: Sequence[Check], listener: ProgressListener | None = None) -> None:
        self.path = path
        self.checks = checks
        self.results: dict[str, Result] = {}
        self._listener = listener or IgnoreProgress()
        self._done = {check.name: trio.Event() for check in checks}
        self._needed = {name for check in checks for name in check.needs}
        self._places = trio.CapacityLimiter(SIDE_BY_SIDE)
        self._facts = Facts()
        self._unserved = {check.name: Unserved() for check in checks}
        self._started = datetime.now(UTC)
        self._began = 0.0
        self._trips = 0.0

    async def run(self) -> Report:
        """Run the checks until all have an outcome or the time is up. To stop it, cancel it, then call `report`.

        Raises:
            UnreachableError: No connection to the target could be made.
        """
        self._started, self._began = datetime.now(UTC), trio.current_time()
        stream = await Line(self.path.target, self.path.tls, self.path.server_name).connect(["h2", "http/1.1"])
        connecting = trio.current_time() - self._began
        self._trips = min(TRIPS * connecting, MOST_TRIPS)
        far = self.path.budget.quick and connecting >= FAR
        if far:
            self._places.total_tokens = PLACES_FAR
        with suppress(Exception):
            await stream.aclose()
        with trio.move_on_at(self._began + self.path.budget.total - RESERVE):
            direct = [server for target in self.path.direct for server in await each_server(target)]
            self.path = replace(self.path, direct=direct)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._explore)
                for check in self._of(Scheduling.WAITING):
                    nursery.start_soon(self._run, check)
                async with trio.open_nursery() as beside:
                    for check in self._of(Scheduling.BESIDE):
                        beside.start_soon(self._run_beside_others, check)
                await self._retry_bad()
                by_itself = [*self._of(Scheduling.ALONE), *reversed(self._of(Scheduling.LAST))]
                for check in sorted(by_itself, key=lambda check: far and check.large):
                    await self._run(check)
            await self._retry_in_the_end()
        return self.report(NO_TIME_QUICK if self.path.budget.quick else NO_TIME)

    def report(self, missing: str = "It was stopped before it finished.") -> Report:
        """The report as of now; ``missing`` says of checks without an outcome why, with ``{name}`` for theirs."""
        path = self.path
        for check in self.checks:
            if check.name not in self.results:
                finding = self._unless_unserved(check, inconclusive(missing.format(name=check.name)))
                self._conclude(check, self._skip_reason(check) or finding, 0.0)
        return Report(
            str(path.target),
            None if path.gateway is None else str(path.gateway),
            [*dict.fromkeys(str(target) for target in path.direct)],
            self._started,
            trio.current_time() - self._began,
            self._facts,
            [self._with_likely_first(self.results[check.name]) for check in self.checks],
        )

    def _with_likely_first(self, result: Result) -> Result:
        """Move advice about products that are on the path to the front."""
        guessed = self._facts.hops_guess
        return replace(result, advice=sorted(result.advice, key=lambda line: line.partition(":")[0] not in guessed))

    def _of(self, scheduling: Scheduling) -> list[Check]:
        return [check for check in self.checks if check.scheduling is scheduling]

    async def _explore(self) -> None:
        if Http2Check.name in self._done:  # On which others depend; there may be no second connection.
            await self._done[Http2Check.name].wait()
        try:
            with trio.move_on_after(10.0):
                self._facts = await explore(self.path)
        except Exception as error:
            log.debug("the path could not be explored", exc_info=error)

    async def _run_beside_others(self, check: Check) -> None:
        for name in check.needs:  # Wait before taking a place that the needed check may itself wait for.
            if name in self._done:
                await self._done[name].wait()
        async with self._places:
            await self._run(check)

    async def _run(self, check: Check) -> None:
        for name in check.needs:
            if name in self._done:
                await self._done[name].wait()
        began = trio.current_time()
        self._listener.begin(check)
        finding = self._skip_reason(check) or await self._ask(check)
        if check.name in self._needed and finding.outcome is Outcome.BROKEN:
            finding = await self._retried_finding(check, finding)  # Other checks would be skipped because of it.
        if check.scheduling is not Scheduling.BESIDE:  # Those are tried again first.
            finding = await self._unless_late_anyway(check, finding)
        self._conclude(check, finding, trio.current_time() - began)

    async def _retry_bad(self) -> None:
        """Try the checks again that came out badly while others ran."""
        found = {check.name: self.results[check.name] for check in self._of(Scheduling.BESIDE)}
        with trio.move_on_after(self.path.budget.total * AGAIN):
            async with trio.open_nursery() as nursery:
                for check in self._of(Scheduling.BESIDE):
                    if check.name not in self._needed and found[check.name].finding.outcome in BAD:
                        nursery.start_soon(self._retry, check, found[check.name])
        for check in self._of(Scheduling.BESIDE):
            result = self.results[check.name]
            if result.finding.silent:
                self._conclude(check, await self._unless_late_anyway(check, result.finding), result.seconds)

    async def _retry_in_the_end(self) -> None:
        """Try again the checks that the waiting ones have disturbed, and those that ran alone and waited in vain."""
        waited = self._of(Scheduling.WAITING)
        for check in self.checks:
            result = self.results[check.name]
            if (finding := self._unless_packets_are_lost(result.finding)) is not result.finding:
                self._conclude(check, finding, result.seconds)
                continue
            disturbed = waited and check.again_after_waiting
            late = result.finding.silent and check.scheduling in (Scheduling.ALONE, Scheduling.LAST)
            if late or (disturbed and result.finding.outcome in (*BAD, Outcome.INCONCLUSIVE)):
                await self._retry(check, result)

    async def _retry(self, check: Check, before: Result) -> None:
        began = trio.current_time()
        finding = await self._retried_finding(check, before.finding)
        if finding is not before.finding:
            self._conclude(check, finding, before.seconds + trio.current_time() - began)

    async def _retried_finding(self, check: Check, before: Finding) -> Finding:
        """The finding of a second try if that is better, or else the first one."""
        again = await self._ask(check)
        if again.outcome is Outcome.LIMITED and before.outcome is not Outcome.BROKEN:
            return again if (again.limit or 0.0) > (before.limit or 0.0) else before
        if again.outcome is not Outcome.SURVIVED:
            return before
        sentence = f"{again.sentence.removesuffix('.')}, but only on the second try."
        return replace(again, sentence=sentence, details={**again.details, "at_first": before.sentence})

    async def _unless_late_anyway(self, check: Check, finding: Finding) -> Finding:
        """The finding, or an inconclusive one if the network itself explains that something did not come in time."""
        return await unless_slow(self.path, check, self._unless_packets_are_lost(finding))

    def _unless_packets_are_lost(self, finding: Finding) -> Finding:
        sizes = self.results.get(MessageSize.name)
        if not finding.silent or sizes is None or sizes.finding is finding or sizes.finding.cause != LOSES_PACKETS:
            return finding
        return inconclusive(f"Packets of full size are lost, as {MessageSize.name} says. Seen: {finding.sentence}")

    def _skip_reason(self, check: Check) -> Finding | None:
        """Why a check is skipped; None if it is not."""
        if check.kind is not Kind.GRPC and self.path.gateway is None:
            return skipped("It needs the gateway's URL (--gateway).")
        # Where no WebSocket opens, checks of WebSockets would only wait, and take the time of others.
        telling = (Outcome.BROKEN, Outcome.INCONCLUSIVE) if check.kind is Kind.WS else (Outcome.BROKEN,)
        for name in check.needs:
            if name in self.results and (outcome := self.results[name].finding.outcome) in telling:
                return skipped(f"It was not run because {name} is {outcome}.")
        return None

    def _unless_unserved(self, check: Check, finding: Finding) -> Finding:
        """The finding, or an inconclusive one if a connection of the check's was not served, though others are."""
        how, known = self._unserved[check.name].how, self.results.get(Http2Check.name)
        spoken = self._facts.protocol == "HTTP/2" or (known and known.finding.outcome is Outcome.SURVIVED)
        if not how or not spoken or finding.outcome is Outcome.SURVIVED:
            return finding
        return unconnected(check, how, {**finding.details, "seen": finding.sentence})

    async def _ask(self, check: Check) -> Finding:
        self._unserved[check.name] = unserved = Unserved()
        return self._unless_unserved(check, await self._found(check, replace(self.path, unserved=unserved)))

    async def _found(self, check: Check, path: Path) -> Finding:
        seconds = check.seconds(path.budget) + self._trips
        try:
            with trio.move_on_after(seconds):
                finding = await check.run(path)
                if finding.cause and finding.cause not in check.causes:
                    raise ValueError(f"{finding.cause!r} is not a cause of {check.name}")
                return finding
        except Exception as error:
            log.debug("check %s failed", check.name, exc_info=error)
            return failed(check, error)
        return inconclusive(f"It did not finish within {round(seconds, 1):g} s.")

    def _conclude(self, check: Check, finding: Finding, seconds: float) -> None:
        told = () if finding.outcome is Outcome.SURVIVED else advice_for_message(finding.sentence)
        advice = told or (advice_for(check.name, finding.cause) if finding.cause else ())
        self.results[check.name] = result = Result(check.name, check.question, finding, advice, seconds)
        self._done[check.name].set()
        self._listener.end(check, result)
