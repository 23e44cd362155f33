"""Our server beside Python's other gRPC servers, under raw streams and under h2load's unary calls."""

from contextlib import ExitStack
from functools import partial
from typing import Final

import trio

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import open_channel
from tests.bench import h2load
from tests.bench.figures import Contender, Figures, Load, Plan, Work, contest, timed
from tests.bench.peers import BIDIRECTIONAL, GET_REPLY, LOOPBACK, PEERS
from tests.bench.processes import Child, child
from tests.bench.raw_http2 import RawConnection

STREAMED: Final = "streamed message"
FEW: Final = "streamed message, sixteen on the way"
PING_PONG: Final = "ping-pong on a stream"
UNARY: Final = "unary call"
UNARY_ALONE: Final = "unary call, one at a time"

CONCURRENT: Final = 20  # Unary calls at once, on one connection.

STREAM_MESSAGE: Final = bytes(StreamMessage(stream_id="bench", message="a message of fair length"))
MESSAGE: Final = bytes(Message("hello"))


def measure(plan: Plan, names: tuple[str, ...] = tuple(PEERS)) -> Figures:
    """Every peer under every load; without h2load the unary ones are left out."""
    with ExitStack() as stack:
        contenders = []
        for name in names:
            server = stack.enter_context(child("tests.bench.peers", name))
            trio.run(check, server.port)
            contenders.append(Contender(name, server.cpu_ns, loads(server, stack)))
        return contest(contenders, plan)


def loads(server: Child, stack: ExitStack) -> dict[str, Load]:
    """The loads for one server; their connections end with the stack, and calls that failed are found then."""
    connection = stack.enter_context(RawConnection(server.port, BIDIRECTIONAL, STREAM_MESSAGE))
    stack.callback(connection.finish)
    found: dict[str, Load] = {
        STREAMED: timed(connection.pour),
        FEW: timed(partial(connection.pour, in_flight=16)),
        PING_PONG: timed(connection.ping_pong),
    }
    if h2load.AVAILABLE:
        found[UNARY] = partial(unary, server.port, CONCURRENT)
        found[UNARY_ALONE] = partial(unary, server.port, 1)
    return found


def unary(port: int, concurrent: int, calls: int) -> Work:
    """Calls by h2load."""
    run = h2load.h2load(port, GET_REPLY, MESSAGE, calls=calls, concurrent=concurrent)
    return Work(run.cpu_ns, run.latencies)


async def check(port: int) -> None:
    """Make one call with a real client, since h2load cannot tell whether a call succeeded."""
    with trio.fail_after(20):
        async with open_channel(LOOPBACK, port) as channel:
            reply = await ServerStub(channel).get_reply(Message("hi"))  # type: ignore[arg-type]  # Alike, not the same class.
    if (reply.success, reply.response) != (True, "from server:hi"):
        raise RuntimeError(f"not what an echo says: {reply}")
