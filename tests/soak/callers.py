"""Callers that keep calling while something else happens, and how their calls ended."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, Keepalive, open_channel
from tests.soak.program import BIDIRECTIONAL, LOOPBACK, NAME
from tests.soak.report import Report, counts
from tests.soak.waiting import until

GET_REPLY = "/com.gopay.echo.Server/GetReply"
PAUSE = 0.002  # Seconds between the calls of a caller that is there to notice, not to be a load.
PATIENCE = 20.0  # Seconds a call may take.

Chat = ClientStream[StreamMessage, StreamResponse]


@dataclass
class Outcomes:
    """What became of some calls.

    Attributes:
        seconds: How long each successful one took.
        failures: The others, by their error.
    """

    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    _told: tuple[int, int] = (0, 0)

    @property
    def ok(self) -> int:
        return len(self.seconds)

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def lately(self) -> str:
        """Such as ``100 % of 1,234``, of the calls since this was last asked."""
        ok, failed = self.ok - self._told[0], self.failed - self._told[1]
        self._told = self.ok, self.failed
        return f"{100 * ok / (ok + failed):.5g} % of {ok + failed:,}" if ok + failed else "none"

    async def begun(self) -> None:
        """Wait until the first call has ended."""
        with trio.fail_after(PATIENCE):
            await until(lambda: self.ok + self.failed > 0)

    async def call(self, channel: Channel, text: str = "hello") -> bool:
        """Make a unary call and note what comes of it; tells whether it succeeded."""
        began = time.monotonic()
        try:
            reply = await get_reply(channel, text)
        except GRPCError as error:
            self.failures[f"{error.status.name}: {error.message}"] += 1
            return False
        if reply != f"from server:{text}":
            self.failures["another reply"] += 1
            return False
        self.seconds.append(time.monotonic() - began)
        return True


async def get_reply(channel: Channel, text: str) -> str:
    """One unary call."""
    call = channel.request(GET_REPLY, Cardinality.UNARY_UNARY, Message, Response, timeout=PATIENCE)
    async with call as stream:
        await stream.send_message(Message(text))
        reply = await stream.recv_message()
    assert reply is not None
    return reply.response


def chat(channel: Channel, name: str | None = None) -> Chat:
    """A bidirectional stream, whose end is noted by a notary if it has a name."""
    return channel.request(
        BIDIRECTIONAL,
        Cardinality.STREAM_STREAM,
        StreamMessage,
        StreamResponse,
        metadata=None if name is None else {NAME: name},
    )


async def exchange(stream: Chat, text: str) -> None:
    """Send a message and have it echoed."""
    await stream.send_message(StreamMessage(stream_id="soak", message=text))
    reply = await stream.recv_message()
    if reply is None or not reply.response.endswith(text):
        raise AssertionError(f"{text!r} was answered by {reply!r}")


async def call_on(channel: Channel, outcomes: Outcomes) -> None:
    """Call forever, one call after the other."""
    while True:
        await outcomes.call(channel)
        await trio.sleep(PAUSE)


@asynccontextmanager
async def beside(port: int, report: Report, what: str, keepalive: Keepalive | None = None) -> AsyncIterator[Outcomes]:
    """A second connection, which makes unary calls while the block runs; that all of them succeed is promised."""
    outcomes = Outcomes()
    async with open_channel(LOOPBACK, port, keepalive=keepalive) as channel, trio.open_nursery() as nursery:
        nursery.start_soon(call_on, channel, outcomes)
        yield outcomes
        nursery.cancel_scope.cancel()
    report.promise(outcomes.ok > 0, f"{what}: a second connection makes calls")
    report.promise(not outcomes.failed, f"{what}: a second connection is not disturbed ({counts(outcomes.failures)})")
