"""The benchmark itself: its peers do what they are compared in, and its table has a row for everything measured."""

import pytest
import trio

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.rpc import open_channel
from tests.bench.__main__ import CONCURRENCY, cpu_seconds, peer, stream, table, unary
from tests.bench.peers import LOOPBACK, PEERS


@pytest.mark.parametrize("name", PEERS)
async def test_every_peer_answers_alike(name: str) -> None:
    with peer(name) as (pid, port), trio.fail_after(20):
        async with open_channel(LOOPBACK, port) as channel:
            reply = await ServerStub(channel).get_reply(Message("hi"))  # type: ignore[arg-type]  # Alike, not the same class.
            assert (reply.success, reply.response) == (True, "from server:hi")
            await unary(channel, CONCURRENCY)
            await stream(channel, 50)
        assert cpu_seconds(pid) > 0


def test_the_table_has_ratios_to_ours_first() -> None:
    results = {"call": {name: [1.0 + index, 2.0 + index, 9.0] for index, name in enumerate(PEERS)}}
    lines = table(results).splitlines()
    assert lines[0] == "| server CPU | echo | grpclib + protobuf | grpclib + betterproto | grpcio.aio |"
    assert lines[2] == "| call, ratio | 1.00 | 1.50 | 2.00 | 2.50 |"
    assert lines[3] == "| call, µs | 2 (1-9) | 3 (2-9) | 4 (3-9) | 5 (4-9) |"
