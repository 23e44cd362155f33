"""Two workers: connections are spread, a killed worker takes only its own calls with it, replacing them takes none."""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from echo.rpc import open_channel
from tests.soak.callers import Outcomes, call_on, get_reply
from tests.soak.processes import SERVE, cpu_seconds
from tests.soak.program import LOOPBACK
from tests.soak.report import Report, counts
from tests.soak.scale import Scale
from tests.soak.waiting import until
from tests.support.pair import PREFACE
from tests.support.process import Echo, running
from tests.support.raw import SETTINGS

WORKERS: Final = 2
CLIENTS: Final = 10
BATCH: Final = 100  # Connections that are opened at a time.
UNEVEN: Final = 0.05
PATIENCE: Final = 120.0
FLAGS: Final = [
    *SERVE, "--grpc-server-port", "0", "--workers", str(WORKERS), "--access-log", "off", "--log-format", "json",
    "--grpc-server-handshake-timeout", "5m",
]  # fmt: skip


@asynccontextmanager
async def server(report: Report, what: str) -> AsyncIterator[tuple[Echo, int]]:
    """A server with two workers, and its port; that it ends well is promised."""
    with trio.fail_after(10 * PATIENCE):
        async with running(*FLAGS) as echo:
            yield echo, await echo.grpc_port()
            echo.send(signal.SIGTERM)
            status = await echo.status()
            report.promise(status == 0, f"workers, {what}: exit status 0 ({status})")
            complaints = re.findall(r'"level": "(?:error|critical)".*', echo.stderr)
            report.promise(not complaints, f"workers, {what}: no complaints ({complaints[:1]})")


def workers_of(echo: Echo) -> list[int]:
    """Those that serve, the oldest first."""
    ever = re.findall(r'"worker serves".*?"worker": (\d+)', echo.stderr)
    return [int(pid) for pid in ever if Path(f"/proc/{pid}/fd").exists() and f'"worker ended", "worker": {pid}' not in
            echo.stderr]  # fmt: skip


def sockets_of(pid: int) -> int:
    links = (str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir())
    return sum(link.startswith("socket:") for link in links)


async def run(scale: Scale, report: Report) -> None:
    """All three."""
    await spread(scale, report)
    await rolls(scale, report)
    await kills(scale, report)


async def spread(scale: Scale, report: Report) -> None:
    """Connections that stay, opened as fast as they are taken."""
    table = report.table("Connections on two workers", "connections", "on each", "seconds", "parent's CPU, us each")
    async with server(report, "spread") as (echo, port), AsyncExitStack() as opened:
        before = {pid: sockets_of(pid) for pid in workers_of(echo)}
        began, cpu = time.monotonic(), cpu_seconds(echo.pid)

        async def connect() -> None:
            stream = await opened.enter_async_context(await trio.open_tcp_stream(LOOPBACK, port))
            await stream.send_all(PREFACE + SETTINGS)
            await stream.receive_some()

        for _ in range(0, scale.spread, BATCH):
            report.progress("workers: connections")
            async with trio.open_nursery() as nursery:
                for _ in range(BATCH):
                    nursery.start_soon(connect)
        took = time.monotonic() - began
        each = {pid: sockets_of(pid) - held for pid, held in before.items()}
        cost = (cpu_seconds(echo.pid) - cpu) / scale.spread * 1e6
        table.rows.append(
            [f"{scale.spread:,}", " and ".join(f"{n:,}" for n in each.values()), f"{took:.1f}", f"{cost:.0f}"]
        )
        fair = scale.spread / WORKERS
        report.promise(
            all(abs(n - fair) <= UNEVEN * fair for n in each.values()), f"workers: connections are spread ({each})"
        )


async def rolls(scale: Scale, report: Report) -> None:
    """SIGHUP again and again while calls are made: not one is lost."""
    table = report.table("Workers replaced (SIGHUP) under load", "calls", "rolls", "failed", "slowest, ms")
    outcome = Outcomes()
    async with server(report, "rolls") as (echo, port), AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(open_channel(LOOPBACK, port)) for _ in range(CLIENTS)]
        done = 0
        async with trio.open_nursery() as nursery:
            for channel in channels:
                for _ in range(2):
                    nursery.start_soon(call_on, channel, outcome)
            with trio.fail_after(10 * PATIENCE):
                while outcome.ok < scale.rolled or done < 1:
                    report.progress(f"workers: roll {done + 1}, {outcome.ok:,} calls")
                    echo.send(signal.SIGHUP)
                    await echo.logged("(?s)" + '.*"all workers are replaced"' * (done + 1))
                    done += 1
            nursery.cancel_scope.cancel()
    table.rows.append([f"{outcome.ok:,}", done, outcome.failed, f"{max(outcome.seconds) * 1000:,.0f}"])
    report.promise(not outcome.failed, f"workers: a roll loses no call ({counts(outcome.failures)})")


async def kills(scale: Scale, report: Report) -> None:
    """SIGKILL to one of two workers under load: only calls on its connections fail, and another takes its place."""
    table = report.table(
        "Worker killed (SIGKILL) under load", "times", "calls that succeeded", "failed",
        "on connections of the killed one", "with another error than UNAVAILABLE", "slot is back, s: at most",
    )  # fmt: skip
    ok, failures, disturbed, back = 0, Counter[str](), 0, 0.0
    for number in range(scale.rounds):
        report.progress(f"workers: kill {number + 1} of {scale.rounds}")
        outcomes = [Outcomes() for _ in range(CLIENTS)]
        async with server(report, "kills") as (echo, port), AsyncExitStack() as stack:
            channels = [await stack.enter_async_context(open_channel(LOOPBACK, port)) for _ in outcomes]
            for channel in channels:
                await get_reply(channel, "hello")  # One after the other: each worker has half of them.
            async with trio.open_nursery() as nursery:
                for channel, outcome in zip(channels, outcomes, strict=True):
                    nursery.start_soon(call_on, channel, outcome)
                await _go_on(outcomes)
                serving = workers_of(echo)
                os.kill(serving[number % WORKERS], signal.SIGKILL)
                began = time.monotonic()
                await until(lambda serving=serving: bool(set(workers_of(echo)) - set(serving)))  # type: ignore[misc]
                back = max(back, time.monotonic() - began)
                await _go_on(outcomes)
                nursery.cancel_scope.cancel()
        ok += sum(outcome.ok for outcome in outcomes)
        failures.update(sum((outcome.failures for outcome in outcomes), Counter[str]()))
        hit = sum(outcome.failed > 0 for outcome in outcomes)
        disturbed += hit
        own = hit <= CLIENTS // WORKERS and all(outcome.failed <= 1 for outcome in outcomes)
        report.promise(own, f"workers: a killed one takes only its own calls ({[each.failed for each in outcomes]})")
    others = {error: count for error, count in failures.items() if not error.startswith("UNAVAILABLE")}
    table.rows.append([scale.rounds, f"{ok:,}", failures.total(), disturbed, sum(others.values()), f"{back:.1f}"])
    report.promise(not others, f"workers: calls fail with nothing but UNAVAILABLE ({counts(others)})")


async def _go_on(outcomes: list[Outcomes]) -> None:
    """Wait until each has made some more calls."""
    before = [outcome.ok for outcome in outcomes]
    with trio.fail_after(PATIENCE):
        await until(lambda: all(outcome.ok >= ok + 20 for outcome, ok in zip(outcomes, before, strict=True)))
