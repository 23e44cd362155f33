"""Peers that say nothing any more: stopped processes, and lines that carry nothing, found by keepalive."""

import signal
import time
from contextlib import AsyncExitStack
from typing import Final

import trio

from echo.rpc import open_channel
from tests.soak.callers import Outcomes, beside, chat, exchange
from tests.soak.processes import ANYWHERE, GATEWAY, SETTLING, Program, running
from tests.soak.program import BIDIRECTIONAL, LOOPBACK, SERVER_STREAM
from tests.soak.report import Cells, Report, counts, milliseconds
from tests.soak.scale import Scale
from tests.soak.web import WebClient, opened
from tests.support.relay import Relay, relaying
from tests.support.websocket import Closed

STOPPED: Final = {
    SERVER_STREAM: "client stopped (SIGSTOP), a fast stream coming",
    BIDIRECTIONAL: "client stopped (SIGSTOP), its stream idle",
}
FORGIVEN: Final = 0.5  # What part of the keepalive time a process may be stopped without anybody's minding.


async def run(scale: Scale, report: Report) -> None:
    """Silence peers in each of the ways."""
    table = report.table(
        f"Peers that fall silent, keepalive {scale.keepalive:g} s + {scale.keepalive:g} s",
        "what",
        "times",
        "not found",
        "found after: median / max ms",
        "meanwhile",
        "left over",
    )
    async with running("notary", str(scale.keepalive)) as server:
        empty = await server.holdings()
        async with beside(await server.port(), report, "silence") as second:
            await second.begun()
            table.rows += await _stop_clients(scale, report, server, second)
            table.rows.append(await _lose_clients(scale, report, server, second))
            table.rows.append(await _lose_server(scale, report, server, second))
        left = await server.leftovers(empty)
        report.promise(not left, f"silence: nothing left over at the end ({counts(left)})")
        report.promise(not server.complaints, f"silence: the server logs no errors ({server.complaints[:3]})")


def _row(
    what: str, began: dict[str, float], ended: dict[str, float], second: Outcomes, left: dict[str, int],
    scale: Scale, report: Report,
) -> Cells:  # fmt: skip
    found = [ended[name] - began[name] for name in began if name in ended]
    missing = len(began) - len(found)
    within = 2 * scale.keepalive + scale.slack
    late = f"{max(found, default=0):.1f} s at worst"
    report.promise(not missing, f"silence, {what}: every one is found ({missing} were not)")
    report.promise(max(found, default=0) <= within, f"silence, {what}: found within {within:g} s ({late})")
    report.promise(not left, f"silence, {what}: nothing left over ({counts(left)})")
    return [what, len(began), missing, milliseconds(found), second.lately, counts(left)]


async def _stop_clients(scale: Scale, report: Report, server: Program, second: Outcomes) -> list[Cells]:
    """Stop client processes: for a moment first, which nobody may mind, then for good."""
    before, port = await server.holdings(), await server.port()
    stopped: dict[str, dict[str, float]] = {method: {} for method in STOPPED}
    for round_ in range(scale.rounds):
        report.progress(f"silence: stopped clients, round {round_ + 1} of {scale.rounds}")
        async with AsyncExitStack() as stack:
            clients: dict[tuple[str, str], Program] = {}
            for method in STOPPED:
                for number in range(scale.processes):
                    name = f"stopped/{method}/{round_}/{number}"
                    client = running("client", str(port), name, method)
                    clients[method, name] = await stack.enter_async_context(client)
            for program in clients.values():
                await program.said("ready")
            for program in clients.values():
                program.send(signal.SIGSTOP)
            await trio.sleep(FORGIVEN * scale.keepalive)
            for program in clients.values():
                program.send(signal.SIGCONT)
            await trio.sleep(FORGIVEN * scale.keepalive)
            early = [name for _, name in clients if name in server.left]
            report.promise(not early, f"silence: a short one is forgiven ({len(early)} were not)")
            for (method, name), program in clients.items():
                stopped[method][name] = time.monotonic()
                program.send(signal.SIGSTOP)
            if not await server.leaves(*(name for _, name in clients)):
                break  # They have been waited for once.
    left = await server.leftovers(before)
    return [_row(what, stopped[method], server.left, second, left, scale, report) for method, what in STOPPED.items()]


async def _lose_clients(scale: Scale, report: Report, server: Program, second: Outcomes) -> Cells:
    """A black hole between clients and the server, as the server finds it."""
    what = "black hole, found by the server"
    before, lost = await server.holdings(), dict[str, float]()

    async def one(relay: Relay, name: str) -> None:
        async with open_channel(LOOPBACK, relay.port) as channel, chat(channel, name) as stream:
            await exchange(stream, "hi")
            lost[name] = time.monotonic()
            relay.hold()
            await server.leaves(name)

    report.progress(f"silence: {what}")
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(relaying(await server.port())) for _ in range(scale.repeats)]
        async with trio.open_nursery() as nursery:
            for number, relay in enumerate(relays):
                nursery.start_soon(one, relay, f"lost/{number}")
    return _row(what, lost, server.left, second, await server.leftovers(before), scale, report)


async def _lose_server(scale: Scale, report: Report, server: Program, second: Outcomes) -> Cells:
    """A black hole between gateway and server, as the gateway finds it, and its WebSockets; then the line is back."""
    what = "black hole, found by the gateway"
    seconds = f"{scale.keepalive:g}s"
    flags = ["--grpc-client-keepalive", f"--grpc-client-keepalive-time={seconds}"]
    flags += [f"--grpc-client-keepalive-timeout={seconds}"]
    lost, found = dict[str, float](), dict[str, float]()
    before = await server.holdings()
    async with (
        relaying(await server.port()) as relay,
        running(*GATEWAY, *ANYWHERE, "--grpc-server-port", str(relay.port), *flags) as gateway,
    ):
        port = await gateway.port()
        async with WebClient(port) as client:
            await client.get_reply("hello")
        resting = await gateway.holdings()
        for number in range(scale.rounds):
            report.progress(f"silence: {what}, round {number + 1} of {scale.rounds}")
            name = f"gateway/{number}"
            async with opened(port, "bidirectional") as socket:
                await socket.send('{"stream_id":"a","message":"hi"}')
                await socket.receive()
                lost[name] = time.monotonic()
                relay.hold()
                with trio.move_on_after(SETTLING):
                    closed = await socket.receive()
                    found[name] = time.monotonic()
                    told = (
                        isinstance(closed, Closed) and closed.code == 1011 and closed.reason.startswith("UNAVAILABLE")
                    )
                    report.promise(told, f"silence, {what}: the WebSocket is closed with a reason ({closed})")
            relay.reset()
            relay.release()
            async with WebClient(port) as client:
                answer = await client.get_reply("hello again")
            report.promise(answer == 200, f"silence, {what}: it is well again by itself ({answer})")
        left = await gateway.leftovers(resting)
        report.promise(not gateway.complaints, f"silence: the gateway logs no errors ({gateway.complaints[:3]})")
    left = {f"{what} of the gateway": count for what, count in left.items()} | await server.leftovers(before)
    return _row(what, lost, found, second, left, scale, report)
