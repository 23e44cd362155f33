"""The outbox of a relay: in order, by one task at a time, in few writes, bounded."""

from collections.abc import Sequence
from typing import cast

import trio
import trio.testing

from echo.gateway.relay import OUTBOX_SIZE, Outbox
from echo.gateway.websocket import Socket


class Client:
    """Replaces a socket: takes a few texts at once, and others when it is allowed to.

    Attributes:
        got: The writes, each with a mark that says how it was made.
    """

    def __init__(self, room: int) -> None:
        self.got: list[tuple[str, ...]] = []
        self.pending = False
        self.open = trio.Event()
        self.sending = 0
        self._room = room

    def send_now(self, texts: Sequence[str]) -> bool:
        assert not self.sending, "two tasks send"
        if not self._room:
            return False
        self._room -= 1
        self.got.append(("now", *texts))
        self.pending = not self._room
        return True

    async def send(self, texts: Sequence[str]) -> None:
        assert not self.sending, "two tasks send"
        self.sending += 1
        await self.open.wait()
        self.pending = False
        self.got.append(("later", *texts))
        self.sending -= 1


async def write(outbox: Outbox) -> None:
    while await outbox.send():
        pass


async def test_what_the_kernel_takes_wakes_nobody_and_the_rest_is_the_writer_s() -> None:
    client = Client(room=3)
    outbox = Outbox(cast("Socket", client))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, outbox)
        await trio.testing.wait_all_tasks_blocked()
        for text in "abcde":
            await outbox.put([text])
            await trio.testing.wait_all_tasks_blocked()
        assert client.got == [("now", "a"), ("now", "b"), ("now", "c")]
        client.open.set()
        await trio.testing.wait_all_tasks_blocked()
        assert client.got[3:] == [("later",), ("later", "d", "e")]
        outbox.close()


async def test_put_waits_while_the_client_takes_nothing() -> None:
    client = Client(room=0)
    outbox = Outbox(cast("Socket", client))
    put = 0

    async def put_on() -> None:
        nonlocal put
        for _ in range(40):
            put += 1
            await outbox.put(["x" * (OUTBOX_SIZE // 10)])
        outbox.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, outbox)
        nursery.start_soon(put_on)
        await trio.testing.wait_all_tasks_blocked()
        assert put == 11 + 11 + 1  # On their way; in the outbox, one of them over the brim; and the one that waits.
        client.open.set()
    assert sum(len(texts) - 1 for texts in client.got) == 40
    assert len(client.got) < 10
