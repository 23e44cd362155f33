"""Connections that the path refused, or took and did not serve: what a limit of connections looks like from outside.

Some hops close connections above their limit as soon as they have accepted them; with others, the kernel accepts them
and nobody reads what is sent. To a check either looks like a lost call.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import trio

from echo.probe.http2 import Http2, open_http2
from echo.probe.line import Line, UnreachableError
from echo.rpc import Channel, ChannelState

SILENCE: Final = 1.0  # Seconds without a word from the other side, after which a connection counts as not served.


class Unserved:
    """Watches the connections of a check.

    Attributes:
        how: What became of the last one that was not served, as a clause; empty if all were.
    """

    def __init__(self) -> None:
        self.how = ""

    @asynccontextmanager
    async def open_http2(self, line: Line, authority: str) -> AsyncIterator[Http2]:
        """Connect and speak HTTP/2 for the block, which is watched.

        Raises:
            UnreachableError: No connection could be made.
        """
        try:
            stream = await line.connect()
        except UnreachableError as error:
            self.how = str(error)
            raise
        async with open_http2(stream, line.target.scheme, authority) as connection:
            with self.watch(connection):
                yield connection

    @contextmanager
    def watch(self, connection: Http2 | Channel) -> Iterator[None]:
        """Note at the end of the block whether HTTP/2 has begun on a connection that was opened just before it."""
        began = trio.current_time()
        try:
            yield
        finally:
            waited = trio.current_time() - began
            if _failed(connection):
                self.how = "HTTP/2 did not begin on a later one"
            elif waited > SILENCE and _silent(connection):
                self.how = f"nothing came on a later one for {waited:.1f} s"


def _failed(connection: Http2 | Channel) -> bool:
    if isinstance(connection, Channel):
        return connection.state is ChannelState.TRANSIENT_FAILURE
    return connection.settings is None and bool(connection.ended) and not (connection.foreign or connection.refusal)


def _silent(connection: Http2 | Channel) -> bool:
    if isinstance(connection, Channel):
        return connection.state is ChannelState.CONNECTING
    return connection.settings is None and not connection.ended and not connection.foreign
