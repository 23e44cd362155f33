"""The processes that are put under load, each the real program, which can be asked what it holds.

    python -m tests.soak.program serve|gateway|up FLAGS     as ``python -m echo``
    python -m tests.soak.program notary [KEEPALIVE]         a server that prints when each of its handlers ends
    python -m tests.soak.program client PORT NAME METHOD    one stream, which reads what comes

On SIGUSR1 each prints a line ``census {...}``: its tasks, and those objects of ours that stand for a connection or a
call. That is done within the signal's handler, so that nothing is added to what the program does otherwise.
"""

import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import trio
from anyio.abc import SocketAttribute
from grpclib.const import Handler

import echo.cli
from echo.cli.lifecycle import Stop, run_until_signalled
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Keepalive, Server, ServerStream, open_channel, open_tcp_listener
from echo.services.unary import EchoService

LOOPBACK: Final = "127.0.0.1"
NAME: Final = "soak-name"  # Metadata: handlers of calls with it are noted.
SERVICE: Final = "/com.gopay.echo.streaming.StreamingServer"
BIDIRECTIONAL: Final = f"{SERVICE}/BidirectionalStream"
SERVER_STREAM: Final = f"{SERVICE}/ServerStream"

# What stands for a connection or a call, on either side; counted by name, lest a server load the web framework.
COUNTED: Final = frozenset({"ServerSession", "ClientSession", "ServerCall", "ClientCall", "WebSocketStream"})

Stream = ServerStream[StreamMessage, StreamResponse]


def say(line: str) -> None:
    """Print a line at once and whole, also from a signal's handler."""
    os.write(1, f"{line}\n".encode())


def census(*_: object) -> None:
    """Print what this process holds just now."""
    gc.collect()
    held = Counter(name for thing in gc.get_objects() if (name := type(thing).__name__) in COUNTED)
    say("census " + json.dumps({"tasks": tasks(), **held}))


def tasks() -> int:
    """Trio's tasks, those of its own machinery included."""
    try:
        root = trio.lowlevel.current_root_task()
    except RuntimeError:  # Before the event loop runs, or after.
        return 0
    waiting, found = [root] if root is not None else [], 0
    while waiting:
        found += 1
        for nursery in waiting.pop().child_nurseries:
            waiting.extend(nursery.child_tasks)
    return found


class Notary:
    """The streaming echo's names with other handlers: they note when they end, and the server stream is endless."""

    def __mapping__(self) -> Mapping[str, Handler]:
        return {
            path: Handler(partial(_noted, handle), cardinality, StreamMessage, StreamResponse)
            for path, cardinality, handle in (
                (BIDIRECTIONAL, Cardinality.STREAM_STREAM, echo_each),
                (SERVER_STREAM, Cardinality.UNARY_STREAM, count_for_ever),
            )
        }


async def _noted(handle: Callable[[Stream], Awaitable[None]], stream: Stream) -> None:
    assert stream.metadata is not None
    name = stream.metadata.get(NAME)
    if name is not None:
        say(f"entered {name!s} {time.monotonic()}")
    try:
        await handle(stream)
    finally:
        if name is not None:
            say(f"left {name!s} {time.monotonic()}")


async def echo_each(stream: Stream) -> None:
    async for message in stream:
        await stream.send_message(StreamResponse(response=message.message, success=True))


async def count_for_ever(stream: Stream) -> None:
    """Messages of a kilobyte or so, as fast as they are taken."""
    message = await stream.recv_message()
    assert message is not None
    number = 0
    while True:
        number += 1
        await stream.send_message(StreamResponse(message.stream_id, number, response="x" * 1000, success=True))


async def notary(
    keepalive: Keepalive | None, stop: Stop, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    server = Server([EchoService(), Notary()], keepalive=keepalive)
    async with trio.open_nursery() as nursery:
        listener = await open_tcp_listener(LOOPBACK, 0)
        await nursery.start(server.serve, listener)
        task_status.started()
        say(json.dumps({"service": "grpc", "port": listener.extra(SocketAttribute.local_port)}))
        await stop()
        await server.drain(0)


async def client(port: int, name: str, method: str) -> None:
    """Open a stream and read it; says ``ready`` when the first response has come."""
    cardinality = Cardinality.UNARY_STREAM if method == SERVER_STREAM else Cardinality.STREAM_STREAM
    async with open_channel(LOOPBACK, port) as channel:
        call = channel.request(method, cardinality, StreamMessage, StreamResponse, metadata={NAME: name})
        async with call as stream:
            await stream.send_message(StreamMessage(stream_id=name, message="hi"))
            await stream.recv_message()
            say("ready")
            async for _ in stream:
                pass


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGUSR1, census)
    match arguments:
        case ["notary"]:
            return trio.run(run_until_signalled, partial(notary, None))
        case ["notary", seconds]:
            return trio.run(run_until_signalled, partial(notary, Keepalive(float(seconds), float(seconds))))
        case ["client", port, name, method]:
            trio.run(client, int(port), name, method)
            return 0
    return echo.cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
