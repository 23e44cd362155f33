"""WebSocket clients that stop reading a fast stream: memory stays flat all the way, nothing is lost or doubled.

The stream is a notary's endless one: messages of a kilobyte, numbered, one after another.
"""

import json
from typing import Final

import trio

from tests.soak.callers import beside
from tests.soak.processes import ANYWHERE, GATEWAY, Program, running
from tests.soak.report import Report, counts, megabytes
from tests.soak.scale import Scale
from tests.soak.web import WebClient, opened

BUFFER: Final = 64 * 1024  # Bytes that the kernel keeps for a client that does not read.
BEFORE: Final = 200  # Messages read before stopping,
AFTER: Final = 3_000  # and after it: more than all the buffers on the way hold.
SETTLED: Final = 1.0  # Seconds until every buffer on the way has filled.
SAMPLE: Final = 0.25


async def run(scale: Scale, report: Report) -> None:
    """Read, stop for a time, read on."""
    table = report.table(
        "WebSockets that are not read, behind an endless fast stream", "sockets", "seconds",
        "gateway RSS, MB: min / max", "server RSS, MB: min / max", "read before", "read after",
        "lost, doubled or moved", "meanwhile", "left over",
    )  # fmt: skip
    report.progress("slow reader")
    async with (
        running("notary") as server,
        running(*GATEWAY, *ANYWHERE, "--grpc-server-port", str(await server.port())) as gateway,
    ):
        port = await gateway.port()
        async with WebClient(port) as client:
            await client.get_reply("hello")
        programs = {"gateway": gateway, "server": server}
        rests = {name: await program.holdings() for name, program in programs.items()}
        wrong: list[str] = []
        rss: dict[Program, list[int]] = {gateway: [], server: []}
        async with beside(await server.port(), report, "slow reader") as second:
            await second.begun()
            stuck, go_on = trio.Event(), trio.Event()
            waiting = scale.readers

            async def reader(number: int) -> None:
                nonlocal waiting
                async with opened(port, "server", buffer=BUFFER) as socket:
                    await socket.send(f'{{"stream_id":"{number}","message":"go"}}')
                    for expected in range(1, BEFORE + AFTER + 1):
                        if expected == BEFORE + 1:
                            waiting -= 1
                            if not waiting:
                                stuck.set()
                            await go_on.wait()
                        text = await socket.receive()
                        got = json.loads(text)["sequence_number"] if isinstance(text, str) else text
                        if got != expected:
                            wrong.append(f"{got} for {expected}")
                            return

            async with trio.open_nursery() as readers:
                for number in range(scale.readers):
                    readers.start_soon(reader, number)
                await stuck.wait()
                await trio.sleep(SETTLED)
                until = trio.current_time() + scale.stuck
                while trio.current_time() < until:
                    for program, sizes in rss.items():
                        sizes.append(program.rss)
                    await trio.sleep(SAMPLE)
                go_on.set()
            told = second.lately
        left: dict[str, int] = {}
        for name, program in programs.items():
            for what, count in (await program.leftovers(rests[name])).items():
                left[f"{what} of the {name}"] = count
            report.promise(not program.complaints, f"slow reader: no errors are logged ({program.complaints[:3]})")
        flat = {program: f"{megabytes(min(sizes))} / {megabytes(max(sizes))}" for program, sizes in rss.items()}
        read = [scale.readers * BEFORE, scale.readers * AFTER]
        table.rows.append([scale.readers, f"{scale.stuck:g}", *flat.values(), *read, len(wrong), told, counts(left)])
        for name, program in programs.items():
            growth = max(rss[program]) - rss[program][0]
            report.promise(growth <= scale.flat, f"slow reader: the {name}'s memory is flat (+{megabytes(growth)} MB)")
        report.promise(not wrong, f"slow reader: it resumes where it stopped ({wrong[:3]})")
        report.promise(not left, f"slow reader: nothing left over ({counts(left)})")
