"""A server that tests attack, with another client on its own connection that must not be affected."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias

import trio
from grpclib.const import Cardinality, Handler

from echo.pb.com.gopay.echo import Message, Response, ServerStub
from echo.rpc import GRPCError, Limits, Server, ServerStream, Status, open_channel
from echo.services import EchoService, StreamingEchoService
from tests.support.leaks import no_leaks, settles
from tests.support.raw import PATIENCE, Fields
from tests.support.serving import LOOPBACK, serving

GET_REPLY = "/com.gopay.echo.Server/GetReply"
BIDIRECTIONAL = "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream"
HOLD, POUR, FAIL = "/test.Odd/Hold", "/test.Odd/Pour", "/test.Odd/Fail"

HELLO = b"\x0a\x02hi"  # Message(message="hi"), or what stands first in a StreamMessage: its stream_id.
SAFE = Limits()  # The defaults.
POURED = 10_000  # Bytes of text in each message of `POUR`.

Stream: TypeAlias = ServerStream[Message, Response]


def request(path: str = GET_REPLY, **changes: str | None) -> Fields:
    """A valid request's head with changes: ``te=None`` leaves the field out, ``_method`` means ``:method``."""
    fields: dict[str, str | None] = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "target.test",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    for name, value in changes.items():
        fields[":" + name[1:] if name.startswith("_") else name.replace("_", "-")] = value
    return [(name, value) for name, value in fields.items() if value is not None]


class Odd:
    """Handlers that a test needs besides the echo services.

    Attributes:
        running: Handlers of `HOLD` that have started and not ended,
        most: how many of them there were at most,
        started: and how many in all.
        poured: Messages that `POUR`, which goes on forever, has given to its streams.
        stopped: Set when a handler of `POUR` has ended.
        failure: What `FAIL` raises.
    """

    def __init__(self) -> None:
        self.running = self.most = self.started = self.poured = 0
        self.stopped = trio.Event()
        self.failure = GRPCError(Status.ABORTED)

    def __mapping__(self) -> Mapping[str, Handler]:
        return {
            HOLD: Handler(self._hold, Cardinality.STREAM_STREAM, Message, Response),
            POUR: Handler(self._pour, Cardinality.UNARY_STREAM, Message, Response),
            FAIL: Handler(self._fail, Cardinality.UNARY_UNARY, Message, Response),
        }

    async def _hold(self, _stream: Stream) -> None:
        self.started += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await trio.sleep_forever()
        finally:
            self.running -= 1

    async def _pour(self, stream: Stream) -> None:
        try:
            while True:
                await stream.send_message(Response(response="x" * POURED))
                self.poured += 1
        finally:
            self.stopped.set()

    async def _fail(self, _stream: Stream) -> None:
        raise self.failure


class Target:
    """The server.

    Attributes:
        port: Where it listens.
        server: It.
        odd: Its handlers besides those of the echo services.
    """

    def __init__(self, port: int, server: Server, odd: Odd, neighbour: ServerStub) -> None:
        self.port = port
        self.server = server
        self.odd = odd
        self._neighbour = neighbour

    async def serves(self) -> None:
        """Check that the neighbour's next call succeeds."""
        with trio.fail_after(PATIENCE):
            reply = await self._neighbour.get_reply(Message("neighbour"))
        assert reply.response == "from server:neighbour"


@asynccontextmanager
async def target(limits: Limits = SAFE) -> AsyncIterator[Target]:
    """A server on a real socket while the block runs, and a neighbour's connection opened before.

    When the block is left, the neighbour's connection still serves, it is the only one, no call runs, and in the end
    nothing is left over.
    """
    odd = Odd()
    server = Server([EchoService(), StreamingEchoService(), odd], limits=limits)
    async with no_leaks() as leaks:
        leaks.watch(server)
        async with serving(server) as port, open_channel(LOOPBACK, port) as channel:
            victim = Target(port, server, odd, ServerStub(channel))
            await victim.serves()
            yield victim
            await leaks.no_calls()
            await settles(lambda: server.connections, 1, "connections besides the neighbour's")
            await victim.serves()


@asynccontextmanager
async def drained_target() -> AsyncIterator[Target]:
    """A server without a neighbour, which the block must drain. It must leak nothing."""
    odd = Odd()
    server = Server([EchoService(), StreamingEchoService(), odd])
    async with no_leaks() as leaks:
        leaks.watch(server)
        async with serving(server) as port, open_channel(LOOPBACK, port) as channel:
            yield Target(port, server, odd, ServerStub(channel))
