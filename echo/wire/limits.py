"""The bounds of one connection, each chosen and each reached by a test.

Every queue, buffer and table of `echo.wire` and `echo.transport` takes its size from here, so that the memory one
peer can occupy is the sum of a few numbers: about ``max_concurrent_streams * (stream_window + max_unsent)`` in the
worst case, and next to nothing on an idle connection.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What one HTTP/2 connection may occupy. All sizes are in bytes.

    Attributes:
        max_message_size: Largest gRPC message taken or sent, before compression (gRPC's usual default, 4 MiB).
        max_concurrent_streams: Calls that run at once on one connection; announced in SETTINGS (RFC 9113 §6.5.2).
        max_header_list_size: Largest list of header fields taken, uncompressed (RFC 9113 §6.5.2).
        stream_window: What a peer may send on one stream before the application reads (RFC 9113 §6.9).
        connection_window: What a peer may have on its way to us, over all streams.
        max_unsent: What one stream may have waiting to be sent before its sender waits.
        max_output: What a connection may have waiting for the socket before streams stop adding to it.
    """

    max_message_size: int = 4 * MIB
    max_concurrent_streams: int = 100
    max_header_list_size: int = 16 * KIB
    stream_window: int = 64 * KIB
    connection_window: int = 1 * MIB
    max_unsent: int = 64 * KIB
    max_output: int = 256 * KIB
