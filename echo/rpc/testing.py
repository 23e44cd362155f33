"""Services and a client in one process without sockets, for tests. All the code is the same as over TCP."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Unpack

from anyio.abc import ByteStream
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase

from echo.rpc.channel import Channel
from echo.rpc.channel_options import ChannelOptions
from echo.rpc.channels import open_channel_over
from echo.rpc.servable import Servable
from echo.rpc.server import Server
from echo.transport import memory_stream_pair, open_background
from echo.wire import Limits


@asynccontextmanager
async def memory_channel_to(server: Server, **options: Unpack[ChannelOptions]) -> AsyncIterator[Channel]:
    """A channel to this server, which serves each of its connections in a task of the block's own nursery."""
    async with open_background() as connections:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            connections.start_soon(server.serve_connection, theirs)
            return ours

        async with open_channel_over(dial, "memory", **options) as channel:
            yield channel


@asynccontextmanager
async def memory_channel(
    services: Iterable[Servable],
    *,
    limits: Limits = Limits(),
    codec: CodecBase | None = None,
    status_details_codec: StatusDetailsCodecBase | None = None,
) -> AsyncIterator[Channel]:
    """A channel to these services; both sides have the same limits and codecs. Leaving the block ends both."""
    server = Server(services, limits=limits, codec=codec, status_details_codec=status_details_codec)
    async with memory_channel_to(
        server, limits=limits, codec=codec, status_details_codec=status_details_codec
    ) as channel:
        yield channel
