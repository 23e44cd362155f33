"""Two gateways before two servers, each stopped (SIGTERM) and started again in turn, while WebSockets and HTTP go on.

Clients do what a load balancer does: they ask ``/readyz`` which gateway is ready, and go elsewhere when they are
refused. The gateways reach the servers through a balancer of connections.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import trio

from tests.soak.balancer import balancing
from tests.soak.callers import Outcomes
from tests.soak.processes import GATEWAY, SERVE
from tests.soak.report import Report, counts
from tests.soak.rotation import Rotation, rotating
from tests.soak.scale import Scale
from tests.soak.waiting import until
from tests.soak.web import WebClient, opened
from tests.support.tcp import reserved_port
from tests.support.websocket import Closed, Rejected, WebSocket

GRACE: Final = 2.0  # Seconds; longer than a short WebSocket lasts, shorter than a long one would.
BUSY: Final = 0.5  # Seconds of load between two stops.
POLL: Final = 0.1  # Seconds between two looks at which gateways are ready.
CALLERS: Final = 4
SHORT: Final = 4  # Clients with WebSockets that last about half a second,
LONG: Final = 4  # and with such as last until they are closed.
MESSAGES: Final = 5
PAUSE: Final = 0.1  # Seconds between the messages of a client, or its calls.

DONE: Final = Closed(1000)
AWAY: Final = Closed(1001, "going away")
CUT_OFF: Final = Closed(1011, "UNAVAILABLE: the server is shutting down")  # By a server whose grace period is over.


@dataclass
class Sockets:
    """What became of WebSockets of a kind.

    Attributes:
        answers: Messages that were answered.
        ends: How often they ended how.
        faults: What should not have happened.
    """

    answers: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def end(self, closed: Closed, *allowed: Closed) -> None:
        told = f"{closed.code} {closed.reason}".strip()
        (self.ends if closed in allowed else self.faults)[told] += 1


Use = Callable[[WebSocket, Sockets], Awaitable[None]]


class Choice:
    """Which of the gateways to go to."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._ready: set[int] = set()
        self._turn = 0

    async def watch(self, port: int) -> None:
        """Look forever if this one is ready."""
        async with WebClient(port) as client:
            while True:
                try:
                    ready = await client.get("/readyz") == 200
                except (OSError, EOFError):
                    ready = False
                (self._ready.add if ready else self._ready.discard)(port)
                await trio.sleep(POLL)

    async def ready(self) -> None:
        """Wait until all are."""
        with trio.fail_after(30):
            await until(lambda: len(self._ready) == len(self._ports), POLL)

    def order(self) -> list[int]:
        """All of them: those that are ready first, and of these, another one each time."""
        self._turn += 1
        turned = self._ports[self._turn % 2 :] + self._ports[: self._turn % 2]
        return sorted(turned, key=lambda port: port not in self._ready)


async def run(scale: Scale, report: Report) -> None:
    """Stop each in turn under load."""
    with reserved_port() as one, reserved_port() as two, reserved_port() as three, reserved_port() as four:
        await _run(scale, report, [one, two], [three, four])


async def _run(scale: Scale, report: Report, servers: list[int], gateways: list[int]) -> None:
    grace = f"--shutdown-grace={GRACE:g}s"
    unary, short, long = Outcomes(), Sockets(), Sockets()
    statuses: Counter[str] = Counter()
    async with (
        balancing(*servers) as balancer,
        rotating(*([*SERVE, "--grpc-server-port", str(port), grace] for port in servers)) as backends,
        rotating(*(_gateway(port, balancer.port, grace) for port in gateways)) as fronts,
    ):
        choice = Choice(gateways)
        async with trio.open_nursery() as watchers:
            for port in gateways:
                watchers.start_soon(choice.watch, port)
            await choice.ready()
            async with trio.open_nursery() as clients:
                over = trio.Event()
                for _ in range(CALLERS):
                    clients.start_soon(_call_on, choice, unary, over)
                for _ in range(SHORT):
                    clients.start_soon(_talk_on, choice, short, over)
                with trio.CancelScope() as lasting:
                    async with trio.open_nursery() as long_clients:
                        for _ in range(LONG):
                            long_clients.start_soon(_stay_on, choice, long)
                        await _stop_each(scale, choice, backends, fronts, statuses, report)
                        lasting.cancel()
                over.set()  # What is under way ends by itself.
            watchers.cancel_scope.cancel()
    _tell(scale, unary, short, long, statuses, report)
    complaints = backends.complaints + fronts.complaints
    report.promise(not complaints, f"pairs: no errors are logged ({complaints[:3]})")


def _gateway(port: int, server: int, grace: str) -> list[str]:
    return [*GATEWAY, "--http-port", str(port), "--grpc-server-port", str(server), grace]


async def _stop_each(
    scale: Scale, choice: Choice, servers: Rotation, gateways: Rotation, statuses: Counter[str], report: Report
) -> None:
    for turn in range(scale.turns):
        for name, rotation in (("gateway", gateways), ("server", servers)):
            for index in range(2):
                report.progress(f"pairs: turn {turn + 1} of {scale.turns}, {name} {index + 1}")
                await trio.sleep(BUSY)
                statuses[str(await rotation.turn(index))] += 1
                await choice.ready()
    await trio.sleep(BUSY)


async def _call_on(choice: Choice, outcomes: Outcomes, over: trio.Event) -> None:
    """Unary calls over HTTP, each gateway over one connection that is kept alive."""
    clients = {port: WebClient(port) for port in choice.order()}
    try:
        while not over.is_set():
            began = time.monotonic()
            for port in choice.order():
                try:
                    status = await clients[port].get_reply("hello")
                except OSError:  # Refused: nobody has accepted it.
                    continue
                except EOFError:
                    outcomes.failures["the connection ended"] += 1
                    break
                if status == 200:
                    outcomes.seconds.append(time.monotonic() - began)
                else:
                    outcomes.failures[f"{status} {clients[port].body.decode()}"] += 1
                break
            else:
                outcomes.failures["refused by both"] += 1
            await trio.sleep(PAUSE)
    finally:
        for client in clients.values():
            await client.aclose()


async def _talk_on(choice: Choice, found: Sockets, over: trio.Event) -> None:
    """Short WebSockets, one after the other: some messages, a half-close, the end."""
    while not over.is_set():
        await _try_each(choice, found, _talk)


async def _stay_on(choice: Choice, found: Sockets) -> None:
    """WebSockets that last until they are closed from the other side."""
    while True:
        await _try_each(choice, found, _stay)


async def _try_each(choice: Choice, found: Sockets, use: Use) -> None:
    for port in choice.order():
        try:
            async with opened(port, "bidirectional") as socket:
                await use(socket, found)
                return
        except OSError:
            continue  # Refused: the other one, then.
        except (EOFError, trio.BrokenResourceError, Rejected) as error:
            found.faults[f"not opened: {error!r}"] += 1
            return
    found.faults["refused by both"] += 1


async def _talk(socket: WebSocket, found: Sockets) -> None:
    for _ in range(MESSAGES):
        closed = await _exchange(socket, found)
        if closed is not None:
            found.end(closed, AWAY)
            return
        await trio.sleep(PAUSE)
    await socket.send("")
    end = await socket.receive()
    found.end(end if isinstance(end, Closed) else Closed(None, f"a message after the end: {end}"), DONE, AWAY)


async def _stay(socket: WebSocket, found: Sockets) -> None:
    while True:
        closed = await _exchange(socket, found)
        if closed is not None:
            found.end(closed, AWAY, CUT_OFF)
            return
        await trio.sleep(PAUSE)


async def _exchange(socket: WebSocket, found: Sockets) -> Closed | None:
    """Send a message and have it answered; how the socket was closed, if it was instead."""
    with suppress(trio.BrokenResourceError):  # It has been closed meanwhile; what came before that is still to be read.
        await socket.send('{"stream_id":"a","message":"hi"}')
    answer = await socket.receive()
    if isinstance(answer, Closed):
        return answer
    found.answers += 1
    return None


def _tell(scale: Scale, unary: Outcomes, short: Sockets, long: Sockets, statuses: Counter[str], report: Report) -> None:
    table = report.table(
        f"Two gateways and two servers, SIGTERM to each in turn, {scale.turns} times", "what", "how many",
        "how they ended", "faults", "exit status",
    )  # fmt: skip
    slowest = f"200, the slowest after {max(unary.seconds, default=0) * 1000:,.0f} ms"
    table.rows.append(["unary calls over HTTP", f"{unary.ok:,}", slowest, counts(unary.failures), counts(statuses)])
    for what, found in (("short WebSockets", short), ("WebSockets that last", long)):
        how_many = f"{found.ends.total():,}, {found.answers:,} answers"
        table.rows.append([what, how_many, counts(found.ends), counts(found.faults), ""])
        report.promise(found.answers > 0, f"pairs, {what}: they are answered")
        report.promise(not found.faults, f"pairs, {what}: answered, or closed cleanly ({counts(found.faults)})")
    report.promise(unary.ok > 0 and not unary.failed, f"pairs: no unary call fails ({counts(unary.failures)})")
    report.promise(set(statuses) == {"0"}, f"pairs: every program exits with 0 ({counts(statuses)})")
