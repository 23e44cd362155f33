"""What several tasks send at once leaves in few pieces."""

import socket

import anyio
import pytest

from echo.rpc import Server, open_channel
from tests.support.services import ECHO, BytesCodec, unary
from tests.support.serving import LOOPBACK, serving

CALLS = 30


async def test_calls_made_at_once_share_system_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    sends = 0

    def send(self: socket.socket, data: bytes, flags: int = 0) -> int:
        nonlocal sends
        sends += 1
        return real(self, data, flags)

    async with (
        serving(Server([ECHO], codec=BytesCodec())) as port,
        open_channel(LOOPBACK, port, codec=BytesCodec()) as channel,
    ):
        await unary(channel, "One", b"x")
        real = socket.socket.send
        monkeypatch.setattr(socket.socket, "send", send)
        async with anyio.create_task_group() as tasks:
            for _ in range(CALLS):
                tasks.start_soon(unary, channel, "One", b"x")
    assert 2 <= sends < CALLS // 2  # Both sides' together.
