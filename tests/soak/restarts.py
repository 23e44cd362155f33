"""Servers that die and come back, and servers and gateways that are asked to stop while there is work."""

import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Final

import trio

from echo.rpc import Channel, GRPCError, Status, open_channel
from echo.rpc.backoff import JITTER, MAX_BACKOFF
from tests.soak.balancer import balancing
from tests.soak.callers import Outcomes, beside, call_on, chat, exchange
from tests.soak.processes import ANYWHERE, GATEWAY, SERVE, Program, running
from tests.soak.program import LOOPBACK
from tests.soak.report import Report, counts, milliseconds
from tests.soak.rotation import rotating
from tests.soak.scale import Scale
from tests.soak.waiting import until
from tests.soak.web import opened
from tests.support.tcp import reserved_port
from tests.support.websocket import Closed

CLIENTS: Final = 10
DOWN: Final = 0.3  # Seconds a killed server stays away, besides what it takes to start.
BUSY: Final = 0.5  # Seconds of load between two things that happen.
BACK_WITHIN: Final = (
    MAX_BACKOFF * (1 + JITTER) + 0.5
)  # The longest pause between attempts, varied upwards, and the attempt.
GRACE: Final = 1.0
OPEN: Final = 90  # Streams and WebSockets when SIGTERM comes: within what one connection takes.
UNWINDING: Final = 2.0  # Seconds beyond the grace period: to unwind handlers, to hear the answers to close frames.


async def kills(scale: Scale, report: Report) -> None:
    """SIGKILL to a server under load, again and again; its clients come back by themselves."""
    table = report.table(
        "Server killed (SIGKILL) and restarted", "clients", "times", "calls that succeeded", "failed meanwhile",
        "with another error than UNAVAILABLE", "back after it listened: median / max ms", "not back",
    )  # fmt: skip
    outcomes = [Outcomes() for _ in range(CLIENTS)]
    back: list[float] = []
    missing = 0
    async with AsyncExitStack() as stack:
        port = stack.enter_context(reserved_port())
        channels = [await stack.enter_async_context(open_channel(LOOPBACK, port)) for _ in range(CLIENTS)]
        async with trio.open_nursery() as nursery:
            for number in range(scale.rounds + 1):  # The last one is not killed for its clients' sake.
                report.progress(f"restarts: kill {number} of {scale.rounds}")
                async with running(*SERVE, "--grpc-server-port", str(port)) as server:
                    await server.port()
                    listening = time.monotonic()
                    if number == 0:
                        for channel, outcome in zip(channels, outcomes, strict=True):
                            nursery.start_soon(call_on, channel, outcome)
                    found = await _successes(outcomes, BACK_WITHIN + scale.slack)
                    missing += CLIENTS - len(found)
                    if number:
                        back += [moment - listening for moment in found]
                    await trio.sleep(BUSY)
                    server.send(signal.SIGKILL)
                    await server.status()
                    await trio.sleep(DOWN)
            nursery.cancel_scope.cancel()
    failures = sum((outcome.failures for outcome in outcomes), Counter[str]())
    others = {error: count for error, count in failures.items() if not error.startswith("UNAVAILABLE")}
    ok = sum(outcome.ok for outcome in outcomes)
    table.rows.append(
        [CLIENTS, scale.rounds, f"{ok:,}", f"{failures.total():,}", sum(others.values()), milliseconds(back), missing]
    )
    report.promise(not others, f"kills: calls fail with nothing but UNAVAILABLE ({counts(others)})")
    report.promise(
        not missing, f"kills: all are back {BACK_WITHIN + scale.slack:.1f} s after the restart ({missing} were not)"
    )


async def _successes(outcomes: list[Outcomes], patience: float) -> list[float]:
    """When each caller's next call succeeded, if that was soon enough."""
    before = [outcome.ok for outcome in outcomes]
    moments: list[float] = []

    async def watch(outcome: Outcomes, ok: int) -> None:
        await until(lambda: outcome.ok > ok)
        moments.append(time.monotonic())

    with trio.move_on_after(patience):
        async with trio.open_nursery() as nursery:
            for outcome, ok in zip(outcomes, before, strict=True):
                nursery.start_soon(watch, outcome, ok)
    return moments


async def drains(scale: Scale, report: Report) -> None:
    """SIGTERM to one of two servers under load, in turn: not a call is lost, unary or streaming."""
    table = report.table(
        "Server drained (SIGTERM) under load, while another serves", "calls", "times", "succeeded", "failed",
        "slowest, ms", "exit status",
    )  # fmt: skip
    unary, streaming = Outcomes(), Outcomes()
    statuses: Counter[str] = Counter()
    report.progress("restarts: drains")
    async with AsyncExitStack() as stack:
        ports = [stack.enter_context(reserved_port()) for _ in range(2)]
        balancer = await stack.enter_async_context(balancing(*ports))
        channels = [await stack.enter_async_context(open_channel(LOOPBACK, balancer.port)) for _ in range(CLIENTS)]
        commands = [[*SERVE, "--grpc-server-port", str(port)] for port in ports]
        rotation = await stack.enter_async_context(rotating(*commands))
        async with trio.open_nursery() as nursery:
            for channel in channels:
                nursery.start_soon(call_on, channel, unary)
                nursery.start_soon(_stream_on, channel, streaming)
            for number in range(2 * scale.rounds):
                report.progress(f"restarts: drain {number + 1} of {2 * scale.rounds}")
                await trio.sleep(BUSY)
                statuses[f"{await rotation.turn(number % 2)}"] += 1
            await trio.sleep(BUSY)
            nursery.cancel_scope.cancel()
    for what, outcome in (("unary", unary), ("streams of five messages", streaming)):
        slowest = f"{max(outcome.seconds, default=0) * 1000:,.0f}"
        table.rows.append([what, 2 * scale.rounds, f"{outcome.ok:,}", outcome.failed, slowest, counts(statuses)])
        report.promise(outcome.ok > 0, f"drains, {what}: calls are made")
        report.promise(not outcome.failed, f"drains, {what}: none is lost ({counts(outcome.failures)})")
    report.promise(set(statuses) == {"0"}, f"drains: every server exits with 0 ({counts(statuses)})")


async def _stream_on(channel: Channel, outcomes: Outcomes) -> None:
    """Short streams, one after the other."""
    while True:
        began = time.monotonic()
        try:
            async with chat(channel) as stream:
                for number in range(5):
                    await exchange(stream, f"message {number}")
                    await trio.sleep(0.01)
                await stream.end()
                await stream.recv_message()
            outcomes.seconds.append(time.monotonic() - began)
        except GRPCError as error:
            outcomes.failures[f"{error.status.name}: {error.message}"] += 1


async def stops(scale: Scale, report: Report) -> None:
    """SIGTERM to a server and to a gateway whose streams and WebSockets do not end by themselves."""
    table = report.table(
        "SIGTERM with work that does not end", "what", "times", "open each time", "how they ended",
        "seconds until all had ended, grace 1 s", "exit status",
    )  # fmt: skip
    grace = [f"--shutdown-grace={GRACE:g}s"]
    for what in ("streams on a server", "WebSockets on a gateway"):
        endings: Counter[str] = Counter()
        statuses: Counter[str] = Counter()
        seconds: list[float] = []
        for number in range(scale.rounds):
            report.progress(f"restarts: SIGTERM, {what}, {number + 1} of {scale.rounds}")
            if what == "streams on a server":
                async with running(*SERVE, "--grpc-server-port", "0", *grace) as server:
                    statuses[str(await _stop_streams(server, endings, seconds))] += 1
            else:
                async with (
                    running(*SERVE, "--grpc-server-port", "0") as server,
                    running(*GATEWAY, *ANYWHERE, "--grpc-server-port", str(await server.port()), *grace) as gateway,
                    beside(await server.port(), report, "SIGTERM to a gateway") as second,
                ):
                    await second.begun()
                    before = await server.holdings()
                    statuses[str(await _stop_websockets(gateway, endings, seconds))] += 1
                    left = {name: n for name, n in (await server.leftovers(before)).items() if "Call" in name}
                    report.promise(not left, f"SIGTERM to a gateway: its server has no calls left ({counts(left)})")
        table.rows.append([what, scale.rounds, OPEN, counts(endings), f"{max(seconds):.1f} at most", counts(statuses)])
        good = "UNAVAILABLE: the server is shutting down" if "server" in what else "1001 going away"
        report.promise(set(endings) == {good}, f"SIGTERM, {what}: all get {good!r} ({counts(endings)})")
        report.promise(set(statuses) == {"0"}, f"SIGTERM, {what}: exit status 0 ({counts(statuses)})")
        most = GRACE + UNWINDING + scale.slack
        report.promise(max(seconds) <= most, f"SIGTERM, {what}: over within {most:g} s ({max(seconds):.1f})")


async def _stop_streams(server: Program, endings: Counter[str], seconds: list[float]) -> int:
    async def client(channel: Channel, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            async with chat(channel) as stream:
                await exchange(stream, "hi")
                task_status.started()
                await stream.recv_message()
                endings["OK"] += 1
        except GRPCError as error:
            ours = error.status is Status.UNAVAILABLE
            endings[f"{error.status.name}: {error.message}" if ours else error.status.name] += 1

    async with open_channel(LOOPBACK, await server.port()) as channel, trio.open_nursery() as nursery:
        for _ in range(OPEN):
            await nursery.start(client, channel)
        began = time.monotonic()
        server.send(signal.SIGTERM)
    seconds.append(time.monotonic() - began)
    return await server.status()


async def _stop_websockets(gateway: Program, endings: Counter[str], seconds: list[float]) -> int:
    port = await gateway.port()

    async def client(*, task_status: trio.TaskStatus[None]) -> None:
        async with opened(port, "bidirectional") as websocket:
            await websocket.send('{"stream_id":"a","message":"hi"}')
            await websocket.receive()
            task_status.started()
            closed = await websocket.receive()
            endings[f"{closed.code} {closed.reason}" if isinstance(closed, Closed) else closed] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(OPEN):
            await nursery.start(client)
        began = time.monotonic()
        gateway.send(signal.SIGTERM)
    seconds.append(time.monotonic() - began)
    return await gateway.status()
