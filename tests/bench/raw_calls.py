"""Unary calls as raw bytes: what h2load does for one call again and again, here with header values new in each call.

Every call of a run, its HEADERS and its DATA frame, is made before the clock starts; while it runs the bytes are joined
and written, and of the answers only frame headers are looked at. The header list is compressed as grpc's C core does
it, and with it Python, Ruby, C++ and PHP: what is the same in each call enters HPACK's table with the first one and is
a byte from then on; what is new in each call is a literal that enters no table, not in Huffman code. Optionally it does
as grpc-go and nghttp2 do: all of it enters the table, in Huffman code, and old entries fall out at its end.

Such new values are what a call in a service mesh carries: its deadline (`grpc-timeout`, what is left of it), a request
id, as Envoy adds one, and a W3C trace context.
"""

import itertools
import os
import time
from collections.abc import Iterable, Iterator
from operator import add
from typing import Final, Self

from hpack import Encoder

from tests.bench.figures import Work
from tests.bench.raw_http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RawConnection,
    frame,
    grpc_message,
    literal,
    request_fields,
)
from tests.bench.raw_socket import RunFailed


class RawCalls(RawConnection):
    """One connection for unary calls of one method. Leave its block to close it; call `finish` before that."""

    def __init__(self, port: int, path: str, message: bytes, *, table: bool = False) -> None:
        """``table``: new values enter HPACK's table, too."""
        super().__init__(port, path, message, streams=0)
        self._encoder = Encoder()
        self._table = table
        self._fields = fields = request_fields(path, f"127.0.0.1:{port}")
        self._first = self._encoder.encode(fields, huffman=table)
        self._block = self._encoder.encode(fields, huffman=table)
        self._body = grpc_message(message)
        self._next = 1
        self._finished = 0

    def __enter__(self) -> Self:
        """Make the first call, which fills HPACK's table. Raises RunFailed."""
        try:
            self._run([self._frames_of(self._take_id(), self._first)], concurrent=1)
        except BaseException:
            self._socket.close()
            raise
        return self

    def calls(self, count: int, *, concurrent: int = 1, mesh: bool = False) -> Work:
        """Make this many calls, ``concurrent`` of them at any time; ``mesh`` gives each a deadline, an id and a trace.

        Raises:
            RunFailed: A call was not answered by one message. That it ended well `finish` finds out.
        """
        requests = [self._frames_of(self._take_id(), block) for block in self._blocks_of(count, mesh=mesh)]
        return self._run(requests, concurrent=concurrent)

    def _blocks_of(self, count: int, *, mesh: bool) -> Iterable[bytes]:
        values = mesh_values(count) if mesh else itertools.repeat((), count)
        if self._table:
            names = [name for name, _ in MESH]
            more = ([*zip(names, map(bytes.decode, own), strict=False)] for own in values)  # No values, no fields.
            return (self._encoder.encode(self._fields + fields) for fields in more)
        return (self._block + b"".join(map(add, LITERALS, own)) for own in values)

    def finish(self) -> None:
        """Look at how all calls ended. Raises RunFailed unless each ended with ``grpc-status`` 0."""
        statuses = self.statuses()
        wrong = {stream_id: status for stream_id, status in statuses.items() if status != "0"}
        if wrong or len(statuses) != self._finished:
            raise RunFailed(f"{len(statuses)} of {self._finished} calls ended with a status, of which wrong: {wrong}")

    def _take_id(self) -> int:
        self._next += 2
        return self._next - 2

    def _frames_of(self, stream_id: int, block: bytes) -> bytes:
        return frame(HEADERS, END_HEADERS, stream_id, block) + frame(DATA, END_STREAM, stream_id, self._body)

    def _run(self, requests: list[bytes], *, concurrent: int) -> Work:
        """Send all of them, a new one for each that has ended, and wait for the last."""
        clock = time.perf_counter_ns
        count, ended = len(requests), self._replies.ended
        first = self._next - 2 * count
        began = [0] * count
        times: list[int] = []
        sent = messages = 0
        cpu, started = time.process_time_ns(), clock()
        while len(times) < count:
            until = min(len(times) + concurrent, count, sent + self._window // self._cost)
            if until > sent:
                now = clock()
                began[sent:until] = [now] * (until - sent)
                self._socket.send(b"".join(requests[sent:until]))
                self._window -= (until - sent) * self._cost
                sent = until
            messages += self._receive()
            if ended:
                now = clock()
                times += [now - began[(stream_id - first) >> 1] for stream_id in ended]
                ended.clear()
        work = Work(time.process_time_ns() - cpu, times, clock() - started)
        if messages != count:
            raise RunFailed(f"{messages} messages came for {count} calls")
        self._finished += count
        return work


MESH: Final = (("grpc-timeout", 5), ("x-request-id", 36), ("traceparent", 55))
"""What is new in each call, and how long it is."""

LITERALS: Final = tuple(b"\0" + literal(name) + bytes([length]) for name, length in MESH)
"""What stands before each value: without indexing, with a literal name (RFC 7541 §6.2.2)."""


def mesh_values(count: int) -> Iterator[tuple[bytes, ...]]:
    """For as many calls the value of each: four to five seconds to go, a UUID, a trace and a span of their own."""
    size = 40  # Random bytes for each call: two for its deadline, fourteen for its id, 24 for its trace.
    digits = os.urandom(size * count).hex().encode()
    for at in range(0, len(digits), 2 * size):
        d = digits[at : at + 2 * size]
        request_id = b"%b-%b-4%b-a%b-%b" % (d[4:12], d[12:16], d[16:19], d[19:22], d[20:32])
        yield b"4%03dm" % (int(d[:4], 16) % 1000), request_id, b"00-%b-%b-01" % (d[32:64], d[64:80])
