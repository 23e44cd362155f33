"""Many open streams on one server, a hundred on each connection."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, Self

from tests.bench.peers import BIDIRECTIONAL
from tests.bench.raw_http2 import RawConnection
from tests.bench.servers import STREAM_MESSAGE

STREAMS_PER_CONNECTION: Final = 100  # What our server allows, and RFC 9113 §6.5.2 recommends as the least to allow.
BURST: Final = 100


class Fleet:
    """Streams that are open and have each echoed one message. Leave its block to close the connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stack = ExitStack()
        self._connections: list[RawConnection] = []
        self._turns: Iterator[tuple[RawConnection, int]] = iter(())
        self._bursts: Iterator[tuple[RawConnection, list[int]]] = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(len(connection.streams) for connection in self._connections)

    def grow(self, streams: int) -> None:
        """Open more of them, until there are as many; each is used once, so that its handler runs."""
        while (missing := streams - self.streams) > 0:
            size = min(missing, STREAMS_PER_CONNECTION)
            connection = RawConnection(self._port, BIDIRECTIONAL, STREAM_MESSAGE, streams=size)
            self._connections.append(self._stack.enter_context(connection))
            connection.burst(connection.streams)
        # From one connection to the next, before the next stream of the same one.
        longest = max(len(connection.streams) for connection in self._connections)
        self._turns = itertools.cycle(
            [
                (connection, connection.streams[number])
                for number in range(longest)
                for connection in self._connections
                if number < len(connection.streams)
            ]
        )
        self._bursts = itertools.cycle(
            [
                (connection, list(itertools.islice(itertools.cycle(connection.streams), BURST)))
                for connection in self._connections
            ]
        )

    def ping_pong(self, messages: int) -> list[int]:
        """One message after the other, each on the next stream; nanoseconds for each."""
        return [connection.turn(stream_id) for connection, stream_id in itertools.islice(self._turns, messages)]

    def bursts(self, messages: int) -> None:
        """A hundred messages at a time, spread over the streams of one connection, then of the next."""
        for sent in range(0, messages, BURST):
            connection, streams = next(self._bursts)
            connection.burst(streams[: messages - sent])

    def pour(self, messages: int) -> None:
        """All on the first stream, with many on the way, while the others are idle."""
        self._connections[0].pour(messages)

    def finish(self) -> None:
        """End every call well. Raises RunFailed."""
        for connection in self._connections:
            connection.finish()
