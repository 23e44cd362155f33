"""The bounds of one connection, each chosen and each reached by a test.

Every queue, buffer, table and wait of `echo.wire` and `echo.transport` takes its size from here, so that what one peer
can occupy is the sum of a few numbers: about ``max_concurrent_streams * (stream_window + max_unsent)`` bytes at the
worst, besides one message of ``max_message_size`` for each call that is just receiving one.
"""

import math
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What one HTTP/2 connection may occupy. Sizes are in bytes, times in seconds.

    Attributes:
        max_message_size: Largest gRPC message taken, compressed and inflated (4 MiB is gRPC's usual default).
        max_concurrent_streams: Calls that run at once on one connection; told in SETTINGS (RFC 9113 §6.5.2).
        max_header_list_size: Largest list of header fields taken, as RFC 9113 §6.5.2 counts it.
        stream_window: What a peer may send on one stream before the application reads (RFC 9113 §6.9).
        connection_window: What a peer may have on its way to us, over all streams.
        max_unsent: What one stream may have waiting to be sent before its sender waits.
        max_output: What a connection may have waiting for the socket before streams stop adding to it.
        handshake_timeout: How long a peer may take to begin to speak HTTP/2, and to complete a header block.
        write_timeout: How long the kernel may take no byte for the peer while there are some.
        window_timeout: How long a call that has something to send may wait for the peer's windows to open.
        flood_burst: How many frames of the kinds that floods are made of may come at once: resets of calls that have
            not been answered, PING, SETTINGS, PRIORITY, unknown frames, empty DATA, DATA on streams that are over.
        flood_rate: How many of them a second may come for ever.
        max_connection_idle: How long a server keeps a connection without calls.
        max_connection_age: How long a server keeps a connection at all; then it is drained, so that clients connect
            anew and find out about other servers. Varied by a tenth, lest all that began together end together.
        max_connection_age_grace: How long its calls have then.
        min_ping_interval: How often a client may ask whether we are there when nothing else goes on.
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
    flood_rate: float = 100.0
    min_ping_interval: float = 300.0
    max_connection_idle: float = math.inf
    max_connection_age: float = math.inf
    max_connection_age_grace: float = math.inf
