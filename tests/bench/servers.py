"""Our server compared with Python's other gRPC servers, under raw streams and raw unary calls."""

from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from typing import Final

import trio

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import open_channel
from tests.bench.figures import Contender, Figures, Load, Plan, contest, timed
from tests.bench.peers import BIDIRECTIONAL, GET_REPLY, LOOPBACK, PEERS
from tests.bench.processes import Child, child
from tests.bench.raw_calls import RawCalls
from tests.bench.raw_http2 import RawConnection

STREAMED: Final = "streamed message"
FEW: Final = "streamed message, sixteen on the way"
PING_PONG: Final = "ping-pong on a stream"
UNARY: Final = "unary call"
UNARY_MESH: Final = "unary call with deadline, request id and traceparent"
UNARY_TABLE: Final = "the same, entering HPACK's table as from grpc-go"
UNARY_ALONE: Final = "unary call, one at a time"
LOADS: Final = (STREAMED, FEW, PING_PONG, UNARY, UNARY_MESH, UNARY_TABLE, UNARY_ALONE)

CONCURRENT: Final = 20  # Unary calls at once, on one connection.

STREAM_MESSAGE: Final = bytes(StreamMessage(stream_id="bench", message="a message of fair length"))
MESSAGE: Final = bytes(Message("hello"))


def measure(plan: Plan, names: Collection[str] = tuple(PEERS), what: Collection[str] = LOADS) -> Figures:
    """Every peer under every load."""
    with ExitStack() as stack:
        contenders = []
        for name in names:
            server = stack.enter_context(child("tests.bench.peers", name))
            trio.run(check, server.port)
            found = {load: run for load, run in loads(server, stack).items() if load in what}
            contenders.append(Contender(name, server.cpu_ns, found))
        return contest(contenders, plan)


def loads(server: Child, stack: ExitStack) -> dict[str, Load]:
    """The loads for one server; their connections end with the stack, and calls that failed are found then."""
    connection = stack.enter_context(RawConnection(server.port, BIDIRECTIONAL, STREAM_MESSAGE))
    stack.callback(connection.finish)
    unary = stack.enter_context(RawCalls(server.port, GET_REPLY, MESSAGE))
    stack.callback(unary.finish)
    table = stack.enter_context(RawCalls(server.port, GET_REPLY, MESSAGE, table=True))
    stack.callback(table.finish)
    return {
        STREAMED: timed(connection.pour),
        FEW: timed(partial(connection.pour, in_flight=16)),
        PING_PONG: timed(connection.ping_pong),
        UNARY: partial(unary.calls, concurrent=CONCURRENT),
        UNARY_MESH: partial(unary.calls, concurrent=CONCURRENT, mesh=True),
        UNARY_TABLE: partial(table.calls, concurrent=CONCURRENT, mesh=True),
        UNARY_ALONE: unary.calls,
    }


async def check(port: int) -> None:
    """Make one call with a real client, since the raw one counts messages without reading them."""
    with trio.fail_after(20):
        async with open_channel(LOOPBACK, port) as channel:
            reply = await ServerStub(channel).get_reply(Message("hi"))
    if (reply.success, reply.response) != (True, "from server:hi"):
        raise RuntimeError(f"not what an echo says: {reply}")
