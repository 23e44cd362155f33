"""A server and a gateway with several workers, as processes, and callers that keep them busy."""

import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from echo.pb.com.gopay.echo import Message, Response
from echo.rpc import Cardinality, Channel, GRPCError, open_channel
from tests.support.process import Echo, running

SERVE = ["serve", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0", "--workers", "2"]
GATEWAY = ["gateway", "--http-bind", "127.0.0.1", "--http-port", "0", "--grpc-server-host", "127.0.0.1"]


def workers_of(echo: Echo) -> list[int]:
    """The process ids of the workers that have become ready, in order, as far as the log has been read."""
    return [int(pid) for pid in re.findall(r'"worker serves".*?"worker": (\d+)', echo.stderr)]


async def first_workers(echo: Echo, number: int = 2) -> list[int]:
    """Wait until the log shows this many ready workers. Standard output may be read before the log."""
    await echo.logged("(?s)" + r'.*"worker serves".*?"worker": \d+\b' * number)
    return workers_of(echo)[:number]


def stop(echo: Echo) -> None:
    """Ask it to stop, unless it has been asked already."""
    if not {signal.SIGTERM, signal.SIGINT}.intersection(echo.sent):  # A second one would end it at once.
        echo.send(signal.SIGTERM)


async def rolled(echo: Echo, times: int = 1) -> None:
    await echo.logged("(?s)" + '.*"all workers are replaced"' * times)


@asynccontextmanager
async def serving(*flags: str, **variables: str) -> AsyncIterator[tuple[Echo, int]]:
    """A server with two workers, and its port. At the end it is asked to stop, and must."""
    async with running(*SERVE, *flags, **variables) as echo:
        await first_workers(echo)
        yield echo, await echo.grpc_port()
        stop(echo)
        assert await echo.status() == 0
        assert '"level": "error"' not in echo.stderr
        assert '"critical"' not in echo.stderr


async def get_reply(channel: Channel, message: str = "hi") -> str:
    request = channel.request("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, Message, Response, timeout=20)
    async with request as stream:
        await stream.send_message(Message(message), end=True)
        reply = await stream.recv_message()
    assert reply is not None
    return reply.response


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    while not await happened():  # noqa: ASYNC110 - Of another process.
        await trio.sleep(0.01)


@asynccontextmanager
async def callers(port: int, number: int) -> AsyncIterator[list[Counter[str]]]:
    """Make one call after the other on this many connections while the block runs; yields the results."""
    outcomes: list[Counter[str]] = [Counter() for _ in range(number)]

    async def call_on(channel: Channel, outcome: Counter[str]) -> None:
        while True:
            try:
                outcome[await get_reply(channel)] += 1
            except GRPCError as error:
                outcome[error.status.name] += 1

    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(open_channel("127.0.0.1", port)) for _ in outcomes]
        for channel in channels:
            await get_reply(channel)  # One after the other, so that connections are spread over the workers.
        async with trio.open_nursery() as nursery:
            for channel, outcome in zip(channels, outcomes, strict=True):
                nursery.start_soon(call_on, channel, outcome)
            yield outcomes
            nursery.cancel_scope.cancel()


def all_have(outcomes: list[Counter[str]], number: int) -> Callable[[], Awaitable[bool]]:
    async def they_have() -> bool:
        return all(outcome["from server:hi"] >= number for outcome in outcomes)

    return they_have


def third_worker(echo: Echo) -> Callable[[], Awaitable[bool]]:
    async def third() -> bool:
        return len(workers_of(echo)) >= 3

    return third


def runs(pid: int) -> bool:
    """Whether the process is still running. A zombie does not count: the reaper of orphans may be slow."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
