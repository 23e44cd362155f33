"""A pair of connected byte streams within the process: a network without sockets, for tests."""

import anyio
from anyio.streams.buffered import BufferedByteStream
from anyio.streams.stapled import StapledObjectStream


def memory_stream_pair(capacity: float = 1) -> tuple[BufferedByteStream, BufferedByteStream]:
    """Two connected streams; up to ``capacity`` sends wait in each direction."""
    to_left, from_right = anyio.create_memory_object_stream[bytes](capacity)
    to_right, from_left = anyio.create_memory_object_stream[bytes](capacity)
    return (
        BufferedByteStream(StapledObjectStream(to_right, from_right)),
        BufferedByteStream(StapledObjectStream(to_left, from_left)),
    )
