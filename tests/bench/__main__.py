"""What a message costs a server, side by side with Python's other gRPC servers: ``python -m tests.bench [--quick]``.

Every peer runs in a process of its own on the first core, the load on the others; the peers take turns, round by round,
so that a change of the machine's mood hits them all. What counts is the CPU time of the server's process for each
message or call, and of that the ratio: absolute times are of this machine, and of this moment.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import trio

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, open_channel
from tests.bench.peers import BIDIRECTIONAL, GET_REPLY, LOOPBACK, PEERS

TICK = os.sysconf("SC_CLK_TCK")
CONCURRENCY = 20


@contextmanager
def peer(name: str) -> Iterator[tuple[int, int]]:
    """A server's process id and port, for the block."""
    command = [sys.executable, "-m", "tests.bench.peers", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        try:
            assert process.stdout is not None
            os.sched_setaffinity(process.pid, {0})
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def stream(channel: Channel, messages: int) -> None:
    """One stream, as many messages on the way as the windows allow."""
    call = channel.request(BIDIRECTIONAL, Cardinality.STREAM_STREAM, StreamMessage, StreamResponse)
    async with call as bidi, trio.open_nursery() as nursery:
        await bidi.send_request()

        async def pour() -> None:
            message = StreamMessage(stream_id="bench", message="a message of fair length")
            for _ in range(messages):
                await bidi.send_message(message)
            await bidi.end()

        nursery.start_soon(pour)
        received = 0
        async for _ in bidi:
            received += 1
        assert received == messages


async def unary(channel: Channel, calls: int) -> None:
    """Calls by twenty callers, each one after the other."""

    async def caller() -> None:
        for _ in range(calls // CONCURRENCY):
            call = channel.request(GET_REPLY, Cardinality.UNARY_UNARY, Message, Response)
            async with call as only:
                await only.send_message(Message("hello"))
                assert await only.recv_message() is not None

    async with trio.open_nursery() as nursery:
        for _ in range(CONCURRENCY):
            nursery.start_soon(caller)


async def measure(quick: bool) -> dict[str, dict[str, list[float]]]:
    """Microseconds of the server's CPU, by what is done, by peer, for each round."""
    rounds = 3 if quick else 5
    loads = {
        "streamed message": (stream, 10_000 if quick else 20_000),
        "unary call": (unary, 1_000 if quick else 3_000),
    }
    results: dict[str, dict[str, list[float]]] = {what: {name: [] for name in PEERS} for what in loads}
    with ExitStack() as stack:
        peers = {name: stack.enter_context(peer(name)) for name in PEERS}
        for number in range(rounds + 1):
            for name, (pid, port) in peers.items():
                for what, (load, size) in loads.items():
                    print(f"\r{number}/{rounds} {name}: {what}".ljust(60), end="", file=sys.stderr, flush=True)
                    async with open_channel(LOOPBACK, port) as channel:
                        before = cpu_seconds(pid)
                        await load(channel, size)
                        spent = cpu_seconds(pid) - before
                    if number:  # The first round warms up.
                        results[what][name].append(spent / size * 1e6)
    print("\r".ljust(60), end="\r", file=sys.stderr)
    return results


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Markdown: ratios to ours first, then microseconds, the median of the rounds and their range."""
    lines = ["| server CPU | " + " | ".join(PEERS) + " |", "|---|" + "---|" * len(PEERS)]
    for what, by_peer in results.items():
        medians = {name: statistics.median(values) for name, values in by_peer.items()}
        lines.append(f"| {what}, ratio | " + " | ".join(f"{m / medians['echo']:.2f}" for m in medians.values()) + " |")
        cells = [f"{medians[name]:.0f} ({min(v):.0f}-{max(v):.0f})" for name, v in by_peer.items()]
        lines.append(f"| {what}, µs | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer messages and rounds: within two minutes")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)) or {0})
    print(table(trio.run(measure, arguments.quick)))
    names = ("trio", "anyio", "h2", "grpcio", "grpclib", "betterproto", "protobuf")
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} cores;", end=" ")
    print(", ".join(f"{name} {version(name)}" for name in names))


if __name__ == "__main__":
    main()
