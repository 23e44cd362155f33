"""Our client calls every rpc of a server of @grpc/grpc-js, a third implementation of gRPC."""

from pathlib import Path

import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import Cardinality, GRPCError, Status
from tests.support.foreign import ECHO_PATHS, UNARY, channel_to, converse, request
from tests.support.grpc_js import begun, grpc_js_server, needs_node
from tests.support.recording import DEADLINE, SLEEPING, WAIT

pytestmark = needs_node


async def test_a_deadline_of_our_client_s_is_known_to_a_grpc_js_server() -> None:
    ended: dict[Cardinality, Status] = {}
    async with grpc_js_server() as server, channel_to(server.port) as channel:

        async def call(kind: Cardinality) -> None:
            try:
                await converse(channel, kind, metadata={WAIT: SLEEPING}, timeout=DEADLINE)
            except GRPCError as error:
                ended[kind] = error.status

        await converse(channel, UNARY)  # So that there is a connection.
        await server.calls.next()
        async with trio.open_nursery() as nursery:
            for kind in Cardinality:
                nursery.start_soon(call, kind)
            for _ in Cardinality:
                await (await server.calls.next()).is_cancelled_in(DEADLINE)
    assert ended == dict.fromkeys(Cardinality, Status.DEADLINE_EXCEEDED)


@pytest.mark.parametrize("kind", list(ECHO_PATHS), ids=lambda kind: kind.name.lower())
async def test_a_grpc_js_server_sees_that_our_client_cancels(kind: Cardinality) -> None:
    async with grpc_js_server() as server, channel_to(server.port) as channel:
        async with request(channel, kind, {WAIT: SLEEPING}) as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            seen = await begun(server)
        with trio.fail_after(30):
            await seen.ended.wait()
        assert seen.cancelled.is_set()
        assert (await converse(channel, UNARY))[0] == ["from server:hi"]
        assert channel.connections == 1


async def test_two_hundred_calls_of_our_client_succeed_on_one_connection() -> None:
    replies: dict[int, list[str]] = {}
    async with grpc_js_server() as server, channel_to(server.port) as channel:

        async def call(number: int) -> None:
            replies[number] = (await converse(channel, UNARY, f"call {number}"))[0]

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(call, number)
        assert replies == {number: [f"from server:call {number}"] for number in range(200)}
        assert channel.connections == 1


def test_the_lock_file_leaves_open_where_the_packages_come_from() -> None:
    lock = Path(__file__).with_name("node") / "package-lock.json"
    assert '"resolved"' not in lock.read_text()
