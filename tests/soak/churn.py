"""Five hundred WebSockets through a gateway: a tenth of them dropped each second, and then all of them held.

The gateway is the real one; the server behind it is a notary, which reports when each handler noticed. Every socket
sends something now and then, and must get it back.
"""

import random
import socket as sockets
import statistics
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Final

import trio
from wsproto.events import CloseConnection

from tests.soak.breaks import NO_LINGER
from tests.soak.callers import Outcomes
from tests.soak.processes import ANYWHERE, GATEWAY, Holdings, Program, running
from tests.soak.program import NAME
from tests.soak.report import Report, counts, milliseconds
from tests.soak.scale import Scale
from tests.soak.waiting import until
from tests.soak.web import WebClient, opened
from tests.support.websocket import WebSocket

ENDS: Final = ("close frame", "FIN", "RST")
SHARE: Final = 0.1  # Of the sockets, dropped each second.
TALK: Final = 3.0  # Seconds between a socket's messages, about.
AT_ONCE: Final = 20  # Handshakes at a time.


class Crowd:
    """The clients.

    Attributes:
        alive: How many are connected just now.
        dropped: When each left, by its name.
        echoes: Messages that came back.
        faults: What went wrong.
    """

    def __init__(self, port: int, nursery: trio.Nursery) -> None:
        self.alive: dict[str, trio.CancelScope] = {}
        self.dropped: dict[str, float] = {}
        self.echoes = 0
        self.faults: Counter[str] = Counter()
        self._port = port
        self._nursery = nursery
        self._doors = trio.CapacityLimiter(AT_ONCE)
        self._count = 0
        self._connecting = 0
        self._leaving: set[str] = set()  # Those dropped that finish an exchange first.
        self._chance = random.Random(1)

    def join(self, count: int) -> None:
        """Have so many more connect."""
        for _ in range(count):
            self._count += 1
            self._connecting += 1
            how = ENDS[self._count % len(ENDS)]
            self._nursery.start_soon(self._client, f"{how.replace(' ', '-')}/{self._count}", how)

    def drop(self, count: int) -> int:
        """Have so many leave, picked at random; fewer if not so many are there. Tells how many."""
        chosen = self._chance.sample(sorted(self.alive), min(count, len(self.alive)))
        for name in chosen:
            self.alive.pop(name).cancel()
            self._leaving.add(name)
        return len(chosen)

    async def complete(self) -> None:
        """Wait until all who want to are connected or have left, or have failed."""
        await until(lambda: not self._connecting and not self._leaving)

    async def _client(self, name: str, how: str) -> None:
        try:
            async with AsyncExitStack() as stack:
                try:
                    async with self._doors:
                        socket = await stack.enter_async_context(
                            opened(self._port, "bidirectional", [(f"Grpc-Metadata-{NAME}", name)])
                        )
                        await self._exchange(socket)
                finally:
                    self._connecting -= 1
                with trio.CancelScope() as scope:
                    self.alive[name] = scope
                    while True:
                        await trio.sleep(self._chance.uniform(0.5, 1.5) * TALK)
                        with trio.CancelScope(shield=True), trio.fail_after(30):
                            await self._exchange(socket)
                self.dropped[name] = time.monotonic()
                self._leaving.discard(name)
                await _leave(socket, how)
        except (OSError, EOFError, trio.BrokenResourceError, trio.TooSlowError, AssertionError) as error:
            self.faults[f"{type(error).__name__}: {error}"] += 1
            self.alive.pop(name, None)
            self._leaving.discard(name)

    async def _exchange(self, socket: WebSocket) -> None:
        await socket.send('{"stream_id":"a","message":"hi"}')
        answer = await socket.receive()
        assert '"response":"hi"' in str(answer), f"answered by {answer}"
        self.echoes += 1


async def _leave(socket: WebSocket, how: str) -> None:
    """Go; what comes after it is the end of the connection in any case."""
    if how == "close frame":
        await socket.stream.send_all(socket.frame(CloseConnection(code=1000)))
        while await socket.stream.receive_some(65_536):  # The answer, and the gateway's end.
            pass
    elif how == "FIN":
        await socket.stream.send_eof()
        while await socket.stream.receive_some(65_536):
            pass
    else:
        socket.stream.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, NO_LINGER)


async def run(scale: Scale, report: Report) -> None:
    """Drop and replace for a time, hold for a time, then let all go."""
    outcomes = Outcomes()
    async with (
        running("notary") as server,
        running(*GATEWAY, *ANYWHERE, "--grpc-server-port", str(await server.port())) as gateway,
    ):
        port = await gateway.port()
        async with WebClient(port) as client:
            await client.get_reply("hello")  # So that what stays open for good is open.
        rests = {"gateway": (gateway, await gateway.holdings()), "server": (server, await server.holdings())}
        async with trio.open_nursery() as everybody:
            everybody.start_soon(_call_on, port, outcomes)
            async with trio.open_nursery() as clients:
                crowd = Crowd(port, clients)
                crowd.join(scale.websockets)
                await crowd.complete()
                await _churn(crowd, scale, report)
                await crowd.complete()
                await _noticed(crowd, server, scale, report)
                await _hold(crowd, gateway, server, scale, report)
                crowd.drop(len(crowd.alive))
            everybody.cancel_scope.cancel()
        await _leftovers(crowd, outcomes, rests, report)


async def _call_on(port: int, outcomes: Outcomes) -> None:
    """Unary calls over a connection of its own."""
    async with WebClient(port) as client:
        while True:
            began = time.monotonic()
            try:
                status = await client.get_reply("hello")
            except (OSError, EOFError) as error:
                outcomes.failures[repr(error)] += 1
                continue
            if status == 200:
                outcomes.seconds.append(time.monotonic() - began)
            else:
                outcomes.failures[str(status)] += 1
            await trio.sleep(0.05)


async def _churn(crowd: Crowd, scale: Scale, report: Report) -> None:
    each = round(scale.websockets * SHARE)
    began = trio.current_time()
    for second in range(round(scale.churn)):
        report.progress(f"churn: {second} of {scale.churn:g} s, {len(crowd.alive)} sockets, {crowd.echoes:,} echoes")
        for number in range(each):  # Spread over the second.
            crowd.join(crowd.drop(1))
            await trio.sleep_until(began + second + (number + 1) / each)


async def _noticed(crowd: Crowd, server: Program, scale: Scale, report: Report) -> None:
    with trio.move_on_after(10 + scale.slack):
        await server.leaves(*crowd.dropped)
    table = report.table(
        f"{scale.websockets} WebSockets, a tenth dropped each second for {scale.churn:g} s", "dropped by", "times",
        "not noticed", "noticed by the server's handler: median / max ms",
    )  # fmt: skip
    everything = []
    for how in ENDS:
        names = [name for name in crowd.dropped if name.startswith(how.replace(" ", "-"))]
        seconds = [server.left[name] - crowd.dropped[name] for name in names if name in server.left]
        everything += seconds
        table.rows.append([how, len(names), len(names) - len(seconds), milliseconds(seconds)])
        report.promise(len(names) == len(seconds), f"churn: every {how} is noticed ({len(names) - len(seconds)} not)")
    median = statistics.median(everything)
    table.rows.append(["all", len(crowd.dropped), len(crowd.dropped) - len(everything), milliseconds(everything)])
    report.promise(
        median <= scale.noticed, f"churn: noticed within {scale.noticed * 1000:g} ms, median ({median * 1000:.0f} ms)"
    )


async def _hold(crowd: Crowd, gateway: Program, server: Program, scale: Scale, report: Report) -> None:
    if not scale.hold:
        return
    echoes, alive, memory = crowd.echoes, len(crowd.alive), (gateway.rss, server.rss)
    deadline = trio.current_time() + scale.hold
    while (left := deadline - trio.current_time()) > 0:
        report.progress(f"churn: held for another {left:.0f} s, {len(crowd.alive)} sockets, {crowd.echoes:,} echoes")
        await trio.sleep(min(left, 1.0))
    table = report.table(
        "WebSockets held", "sockets", "seconds", "alive at the end", "echoes", "gateway RSS", "server RSS"
    )
    rss = [f"{(now / before - 1):+.1%}" for now, before in zip((gateway.rss, server.rss), memory, strict=True)]
    table.rows.append([alive, f"{scale.hold:g}", len(crowd.alive), f"{crowd.echoes - echoes:,}", *rss])
    report.promise(alive == scale.websockets == len(crowd.alive), f"hold: all {alive} stay alive ({len(crowd.alive)})")


async def _leftovers(
    crowd: Crowd, outcomes: Outcomes, rests: dict[str, tuple[Program, Holdings]], report: Report
) -> None:
    table = report.table("After the WebSockets", "errors of clients", "HTTP meanwhile", "gateway left", "server left")
    left = {name: await program.leftovers(before) for name, (program, before) in rests.items()}
    table.rows.append([counts(crowd.faults), outcomes.lately, *map(counts, left.values())])
    report.promise(not crowd.faults, f"churn: no socket suffers unasked ({counts(crowd.faults)})")
    report.promise(outcomes.ok > 0 and not outcomes.failed, f"churn: HTTP meanwhile ({counts(outcomes.failures)})")
    for name, (program, _) in rests.items():
        report.promise(not left[name], f"churn: nothing left over on the {name} ({counts(left[name])})")
        report.promise(not program.complaints, f"churn: the {name} logs no errors ({program.complaints[:3]})")
