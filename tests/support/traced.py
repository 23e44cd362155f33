"""A server that is traced, and a channel to it: over streams in memory, with a collector."""

import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import trio
import trio.testing
from anyio.abc import ByteStream
from opentelemetry import trace

from echo.access_log import AccessLog
from echo.outlet import Outlet
from echo.rpc import Channel, GRPCError, Server, Status, open_channel_over
from echo.rpc.health import Health
from echo.transport import memory_stream_pair
from tests.support.collector import Collector
from tests.support.services import BIDI, UNARY, BytesCodec, BytesStream, Service

CODEC = BytesCodec()
log = structlog.get_logger(__name__)


async def one(stream: BytesStream) -> None:
    """Does what the message names, and sends it back."""
    request = await stream.recv_message()
    match request:
        case b"not found":
            raise GRPCError(Status.NOT_FOUND, "no such thing")
        case b"bug":
            raise LookupError("secret")
        case b"sleep":
            await trio.sleep_forever()
        case b"context":
            context = trace.get_current_span().get_span_context()
            request = f"{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags)}".encode()
        case b"annotate":
            span = trace.get_current_span()
            span.set_attribute("shelf", 7)
            span.add_event("found", {"where": "left"})
        case b"log":
            log.warning("looked")
            logging.getLogger("a.library").warning("looked, too")
    assert request is not None
    await stream.send_message(request)


async def each(stream: BytesStream) -> None:
    """Sends every message back."""
    async for message in stream:
        await stream.send_message(message)


class Ours:
    """A server that is traced, and a channel to it."""

    def __init__(
        self, collector: Collector, server: Server, channel: Channel, lines: io.StringIO, network: list[ByteStream]
    ) -> None:
        self.network = network
        self.collector = collector
        self.server = server
        self.channel = channel
        self.lines = lines


@asynccontextmanager
async def traced(calls: bool = False, /, **variables: str) -> AsyncIterator[Ours]:
    """``calls``: the channel's calls are traced, too."""
    collector, lines = Collector(), io.StringIO()
    async with collector.tracing(**variables) as tracing, trio.open_nursery() as nursery:
        server = Server(
            [Service(One=(UNARY, one), Each=(BIDI, each)), Health([])],
            codec=CODEC,
            tracing=tracing.server,
            access_log=AccessLog(Outlet(lines), as_json=True),
        )

        network: list[ByteStream] = []

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(server.serve_connection, theirs)
            network.append(theirs)
            return ours

        asked = tracing.channel if calls else None
        async with open_channel_over(dial, "memory", codec=CODEC, tracing=asked) as channel:
            yield Ours(collector, server, channel, lines, network)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
