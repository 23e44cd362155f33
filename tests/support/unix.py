"""Servers on a Unix socket, and the socket files that they leave behind."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from echo.rpc import Channel, Server, open_channel, open_unix_listener
from tests.support.services import ECHO, BytesCodec

CODEC = BytesCodec()


@asynccontextmanager
async def serving_at(path: Path, server: Server | None = None, mode: int | None = None) -> AsyncIterator[Channel]:
    """A server that listens at the path, and a channel to it."""
    server = server or Server([ECHO], codec=CODEC)
    listener = await open_unix_listener(path, mode=mode)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        async with open_channel(f"unix:{path}", codec=CODEC) as channel:
            yield channel
        nursery.cancel_scope.cancel()


def listening_once(path: Path) -> None:
    """Leave a socket file behind, like a process that was killed."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        left.listen()


async def refused(path: Path) -> OSError:
    with pytest.raises(OSError, match=r".") as raised:
        await open_unix_listener(path)
    return raised.value
