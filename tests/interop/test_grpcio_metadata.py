"""Metadata that a stock grpcio client sends although HTTP/2 forbids it: only that call fails, never the connection."""

from collections.abc import Sequence

import grpc
import pytest

from tests.support.grpcio import PATIENCE, Message, grpcio_client, in_thread
from tests.support.ours import our_server

ODD: dict[str, Sequence[tuple[str, str]]] = {
    "blanks behind a value": [("x-note", "v ")],
    "blanks around a value": [("x-note", "  v  ")],
    "a host of its own": [("host", "elsewhere.test")],
    "a status message": [("x-grpc-message", "bad ")],
}


@pytest.mark.parametrize("odd", ODD)
async def test_odd_metadata_is_taken(odd: str) -> None:
    async with our_server() as ours, grpcio_client(ours.port) as client:
        reply = await in_thread(client.get_reply, Message(message="hi"), timeout=PATIENCE, metadata=ODD[odd])
        assert reply.response == "from server:hi"


async def test_too_much_metadata_fails_its_own_call_alone() -> None:
    async with our_server() as ours, grpcio_client(ours.port) as client:
        large = [(f"x-{number}", "y" * 1_000) for number in range(20)]
        with pytest.raises(grpc.RpcError) as raised:
            await in_thread(client.get_reply, Message(message="hi"), timeout=PATIENCE, metadata=large)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "metadata" in raised.value.details()
        reply = await in_thread(client.get_reply, Message(message="hi"), timeout=PATIENCE)
        assert reply.response == "from server:hi"
        assert ours.server.connections == 1
