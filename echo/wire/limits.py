"""The limits of one connection, each reached by a test.

Every queue, buffer, table and wait in `echo.wire` and `echo.transport` takes its size from here, so the memory that one
peer can occupy is the sum of a few numbers: at worst about ``max_concurrent_streams * (stream_window + max_unsent)``
bytes, plus ``max_message_size`` for each call that is receiving a message.
"""

import math
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What one HTTP/2 connection may occupy. Sizes are in bytes, times in seconds.

    Attributes:
        max_message_size: Largest gRPC message accepted, compressed and decompressed (4 MiB is gRPC's usual default).
        max_concurrent_streams: Concurrent calls on one connection; announced in SETTINGS (RFC 9113 §6.5.2).
        max_header_list_size: Largest header list accepted, as RFC 9113 §6.5.2 counts it.
        stream_window: How much a peer may send on one stream before the application reads (RFC 9113 §6.9).
        connection_window: How much a peer may have in flight to us, over all streams.
        max_unsent: How much may be queued on one stream before its sender waits.
        max_output: How much may be queued for the socket before streams stop adding to it.
        handshake_timeout: How long a peer may take to start HTTP/2, and to complete a header block.
        write_timeout: How long a write may make no progress while data is waiting.
        window_timeout: How long a call with data to send may wait for the peer's windows to open.
        flood_burst: How many flood-prone frames may arrive at once: resets of unanswered calls, PING, SETTINGS,
            PRIORITY, unknown frames, empty DATA, DATA on streams that are over.
        flood_rate: The sustained rate of such frames per second.
        max_connection_idle: How long a server keeps a connection without calls.
        max_connection_age: How long a server keeps any connection before it drains it, so that clients reconnect and
            discover other servers. Varied by up to a tenth, so that connections opened together do not end together.
        max_connection_age_grace: How long the connection's calls may then continue.
        min_ping_interval: The shortest interval between a client's PINGs while nothing else is sent.
    """

    max_message_size: int = 4 * MIB
    max_concurrent_streams: int = 100
    max_header_list_size: int = 16 * KIB
    stream_window: int = 64 * KIB
    connection_window: int = 1 * MIB
    max_unsent: int = 64 * KIB
    max_output: int = 256 * KIB
    handshake_timeout: float = 20.0
    write_timeout: float = 20.0
    window_timeout: float = 300.0
    flood_burst: int = 1_000
    flood_rate: float = 100
    min_ping_interval: float = 300.0
    max_connection_idle: float = math.inf
    max_connection_age: float = math.inf
    max_connection_age_grace: float = math.inf
