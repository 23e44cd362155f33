"""Announces the end of HTTP/2 connections (RFC 9113 §6.8).

Upstream: neither when Hypercorn stops nor when it closes an idle connection does GOAWAY tell the client which requests
were served, so that it may not repeat the others; and during a drain proxies go on using the connection.
"""

from contextlib import suppress

from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from hypercorn.events import RawData

from echo.gateway.hypercorn_compat.connection_context import ConnectionContext
from echo.wire import frames


async def announce_drain(shared: ConnectionContext, connection: H2Connection) -> None:
    """Send GOAWAY when the drain begins, and with the last stream that is served when it has ended.

    Not through h2, which would end the streams that are open.
    """
    await shared.drain_begun()
    if not shared.context.terminated.is_set():
        await shared.send(RawData(frames.goaway(frames.MAX_STREAM_ID, frames.ErrorCode.NO_ERROR)))
        await shared.context.terminated.wait()
    last = connection.highest_inbound_stream_id
    await shared.send(RawData(frames.goaway(last, frames.ErrorCode.NO_ERROR)))


async def announce_end(shared: ConnectionContext, connection: H2Connection) -> None:
    """Send GOAWAY on a connection without streams that is about to be closed."""
    with suppress(ProtocolError):  # It has ended already.
        connection.close_connection()
        await shared.send(RawData(connection.data_to_send()))
