"""How slow the path is: what looks like silence to a check may be a slow or lossy network."""

from dataclasses import replace
from typing import Final

import trio

from echo.probe.calls import UNARY
from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, Outcome
from echo.probe.line import UnreachableError
from echo.probe.path import Path

CALLS: Final = 8  # At once: one of them is likely to meet a loss where losses are frequent.
PATIENCE: Final = 5.0  # Seconds for a call.
SLOW: Final = 1.0  # Seconds for a call, above which silence of a few seconds proves nothing.


async def unless_slow(path: Path, check: Check, finding: Finding) -> Finding:
    """The finding, or an inconclusive one if it rests on silence and plain calls are slow as well."""
    if not finding.silent:
        return finding
    slowest = await _slowest(path, check.kind)
    if slowest < SLOW:
        return finding
    return replace(
        finding,
        silent=False,
        outcome=Outcome.INCONCLUSIVE,
        sentence=f"The path is too slow to tell, as a plain call took {slowest:.1f} s. Seen: {finding.sentence}",
        cause="",
        limit=None,
        unit=None,
        details={**finding.details, "slowest_plain_call": round(slowest, 3)},
    )


async def _slowest(path: Path, kind: Kind) -> float:
    """The most seconds that a plain call took, each on a connection of its own; those never answered do not count."""
    took = [0.0]

    async def call() -> None:
        began = trio.current_time()
        try:
            with trio.move_on_after(PATIENCE) as patience:
                await (_grpc if kind is Kind.GRPC else _web)(path)
        except UnreachableError:
            return
        if not patience.cancelled_caught:
            took.append(trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        for _ in range(CALLS):
            nursery.start_soon(call)
    return max(took)


async def _grpc(path: Path) -> None:
    async with path.http2() as connection:
        call = path.begin(connection, UNARY, call_id=path.new_call_id(), timeout=PATIENCE)
        await call.send(path.message(UNARY), end=True)
        await call.until_over()


async def _web(path: Path) -> None:
    await path.get("/healthz")
