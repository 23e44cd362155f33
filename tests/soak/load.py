"""A lot of everything, with nothing wrong: calls, connections, streams, large messages; and what memory does."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from echo.rpc import Channel, open_channel
from tests.soak.callers import Outcomes, chat, exchange
from tests.soak.processes import PATIENCE, SERVE, Program, running, shares
from tests.soak.program import LOOPBACK
from tests.soak.report import Report, counts, megabytes, milliseconds
from tests.soak.scale import Scale

CHANNELS: Final = 2
CALLERS: Final = 20  # On each of the channels.
STREAMS_PER_CHANNEL: Final = 100  # What the server allows.
AT_ONCE: Final = 100  # Clients that connect at a time; the kernel keeps a thousand waiting.
LARGE: Final = "x" * 300_000
LARGE_AT_ONCE: Final = 8
# Calls that one channel cancels: a server takes 1,000 in a burst for an attack (`echo.wire.limits`).
CANCELLED_PER_CHANNEL: Final = 500


async def run(scale: Scale, report: Report) -> None:
    """Load a server in each of the ways, one after the other."""
    table = report.table(
        "Load", "what", "how much", "errors", "a second", "median / max ms", "which side was busy", "left over"
    )
    async with running(*SERVE, "--grpc-server-port", "0") as server:
        port = await server.port()
        for what in (unary, connections, streams, large):
            report.progress(f"load: {what.__name__}")
            before = await server.holdings()
            outcomes = Outcomes()
            with shares(server) as busy:
                how_much = await what(scale, port, outcomes, server, report)
            left = await server.leftovers(before)
            rate = f"{outcomes.ok / busy.seconds:,.0f}"
            table.rows.append(
                [what.__name__, how_much, outcomes.failed, rate, milliseconds(outcomes.seconds), busy, counts(left)]
            )
            report.promise(outcomes.ok > 0, f"load, {what.__name__}: calls succeed")
            report.promise(not outcomes.failed, f"load, {what.__name__}: no errors ({counts(outcomes.failures)})")
            report.promise(not left, f"load, {what.__name__}: nothing left over ({counts(left)})")
        report.promise(not server.complaints, f"load: the server logs no errors ({server.complaints[:3]})")


async def unary(scale: Scale, port: int, outcomes: Outcomes, _server: Program, _report: Report) -> str:
    """Calls as fast as they go, for a time."""
    deadline = trio.current_time() + scale.unary

    async def caller(channel: Channel) -> None:
        while trio.current_time() < deadline:
            await outcomes.call(channel)

    async with trio.open_nursery() as nursery:
        for _ in range(CHANNELS):
            nursery.start_soon(_on_channel, port, caller, CALLERS)
    return f"{scale.unary:g} s, {CHANNELS * CALLERS} at once, {outcomes.ok:,} calls"


async def connections(scale: Scale, port: int, outcomes: Outcomes, server: Program, report: Report) -> str:
    """Many connections that are open at once, and each still good for a call when all are."""
    doors, gate = trio.CapacityLimiter(AT_ONCE), _Gate(scale.connections)

    async def client() -> None:
        async with open_channel(LOOPBACK, port) as channel:
            async with doors:
                await outcomes.call(channel)
            await gate.arrive()
            async with doors:
                await outcomes.call(channel)

    async with trio.open_nursery() as nursery:
        for _ in range(scale.connections):
            nursery.start_soon(client)
        await _see_all("ServerSession", scale.connections, gate, server, report)
    return f"{scale.connections:,} at once"


async def streams(scale: Scale, port: int, outcomes: Outcomes, server: Program, report: Report) -> str:
    """Many streams that are open at once; each echoes before all are open, and again after that."""
    gate = _Gate(scale.streams)

    async def client(channel: Channel) -> None:
        async with chat(channel) as stream:
            for text in ("one", "two"):
                began = time.monotonic()
                await exchange(stream, text)
                outcomes.seconds.append(time.monotonic() - began)
                if text == "one":
                    await gate.arrive()
            await stream.end()
            if await stream.recv_message() is not None:
                outcomes.failures["a message after the end"] += 1

    async with trio.open_nursery() as nursery:
        for start in range(0, scale.streams, STREAMS_PER_CHANNEL):
            nursery.start_soon(_on_channel, port, client, min(STREAMS_PER_CHANNEL, scale.streams - start))
        await _see_all("ServerCall", scale.streams, gate, server, report)
    return f"{scale.streams:,} at once, on {-(-scale.streams // STREAMS_PER_CHANNEL)} connections"


async def large(scale: Scale, port: int, outcomes: Outcomes, _server: Program, _report: Report) -> str:
    """Unary calls with messages larger than every window, all on one channel."""
    left = iter(range(scale.large))

    async def caller(channel: Channel) -> None:
        for _ in left:
            await outcomes.call(channel, LARGE)

    await _on_channel(port, caller, LARGE_AT_ONCE)
    return f"{scale.large:,} of {len(LARGE) // 1000} kB on one channel"


async def memory(scale: Scale, report: Report) -> None:
    """What calls that ended well, and calls that were cancelled, leave in a server's memory."""
    table = report.table(
        "Memory of the server", "what", "calls", "errors", "RSS before, MB", "after, MB", "growth", "left over"
    )
    async with running(*SERVE, "--grpc-server-port", "0") as server:
        port = await server.port()
        empty = await server.holdings()
        outcomes = Outcomes()
        await _many(max(scale.calls // 20, 1_000), max(scale.cancelled // 20, 200), port, outcomes, report)
        await server.leftovers(empty)
        before = server.rss
        for what, calls, cancelled in (("calls", scale.calls, 0), ("cancelled calls", 0, scale.cancelled)):
            began = server.rss
            outcomes = Outcomes()
            await _many(calls, cancelled, port, outcomes, report)
            left = await server.leftovers(empty)
            rss = [megabytes(began), megabytes(server.rss), f"{server.rss / began - 1:+.1%}"]
            table.rows.append([what, f"{calls + cancelled:,}", outcomes.failed, *rss, counts(left)])
            report.promise(not outcomes.failed, f"memory, {what}: no errors ({counts(outcomes.failures)})")
            report.promise(not left, f"memory, {what}: nothing left over ({counts(left)})")
        growth = f"{megabytes(before)} MB to {megabytes(server.rss)} MB"
        report.promise(
            server.rss <= before * (1 + scale.growth), f"memory: grows by {scale.growth:.0%} at most ({growth})"
        )


async def _many(calls: int, cancelled: int, port: int, outcomes: Outcomes, report: Report) -> None:
    """Calls to their end first, then cancelled ones."""
    left = iter(range(calls))

    async def caller(channel: Channel) -> None:
        for done in left:
            if done % 1_000 == 0:
                report.progress(f"memory: call {done:,} of {calls:,}")
            await outcomes.call(channel)
            outcomes.seconds.clear()

    async def canceller(channel: Channel, some: int) -> None:
        for _ in range(some):
            async with chat(channel) as stream:
                await exchange(stream, "hi")
                await stream.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(CHANNELS):
            nursery.start_soon(_on_channel, port, caller, CALLERS)
    for start in range(0, cancelled, CANCELLED_PER_CHANNEL):
        report.progress(f"memory: cancelled call {start:,} of {cancelled:,}")
        some = min(CANCELLED_PER_CHANNEL, cancelled - start) // CALLERS
        await _on_channel(port, partial(canceller, some=some), CALLERS)


async def _on_channel(port: int, caller: Callable[[Channel], Awaitable[None]], count: int) -> None:
    """So many callers on one channel of their own, until all have ended."""
    async with open_channel(LOOPBACK, port) as channel, trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(caller, channel)


class _Gate:
    """Where clients wait for each other, and then for being looked at."""

    def __init__(self, expected: int) -> None:
        self._missing = expected
        self.full = trio.Event()
        self.open = trio.Event()

    async def arrive(self) -> None:
        self._missing -= 1
        if not self._missing:
            self.full.set()
        await self.open.wait()


async def _see_all(what: str, expected: int, gate: _Gate, server: Program, report: Report) -> None:
    """See, when all clients have come, that the server holds as many; then let them go on."""
    with trio.move_on_after(PATIENCE * 2):
        await gate.full.wait()
    held = (await server.holdings()).inside.get(what, 0)
    report.promise(held == expected, f"load: the server holds {expected:,} {what} at once ({held:,})")
    gate.open.set()
