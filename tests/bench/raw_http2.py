"""gRPC streams as raw bytes: a load generator that costs less than any server it loads.

Nothing is built or parsed while it runs that could have been built before. Requests, their header blocks and every DATA
frame are bytes made once; a run writes slices of them to a blocking socket, and of what comes back it looks at frame
headers and at the length prefixes of messages, to count them. Each message is a DATA frame of its own, as grpcio and
grpc-go send them.

It keeps to the rules that matter to a server: the server's flow-control windows are respected (RFC 9113 §6.9), SETTINGS
and PINGs are answered, and at the end every stream is half-closed and its trailers are looked at: a run in which a call
did not end with ``grpc-status`` 0 is an error. Its own windows are as large as can be, so it has nothing to update.
"""

import struct
import time
from collections.abc import Callable, Sequence
from typing import Self

from hpack import Decoder

from tests.bench.raw_socket import RawSocket, RunFailed

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW = 65_535
MAX_WINDOW = 2**31 - 1
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4
DEFAULT_TABLE = 4_096

IN_FLIGHT = 256  # Messages on the way at once. More change nothing: no server here is cheaper with 1,024.


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame (RFC 9113 §4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def grpc_message(serialised: bytes) -> bytes:
    """The length-prefixed form of a message (gRPC over HTTP/2, "Length-Prefixed-Message"), uncompressed."""
    return b"\0" + len(serialised).to_bytes(4, "big") + serialised


def request_fields(path: str, authority: str) -> list[tuple[str, str]]:
    """The header list of a gRPC request (gRPC over HTTP/2, "Requests"), without a deadline or metadata."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "echo-bench"),
    ]


def header_block(path: str, authority: str) -> bytes:
    """That list in literals that enter no table: the same bytes do for every stream."""
    fields = dict(request_fields(path, authority))
    post, http = b"\x83", b"\x86"  # ":method: POST" and ":scheme: http" of HPACK's static table.
    known = post + http + b"\x04" + literal(fields[":path"]) + b"\x01" + literal(fields[":authority"])
    rest = [(name, value) for name, value in fields.items() if not name.startswith(":")]
    return known + b"".join(b"\0" + literal(name) + literal(value) for name, value in rest)


def literal(text: str) -> bytes:
    """A short string as HPACK has it, not in Huffman code (RFC 7541 §5.2)."""
    encoded = text.encode()
    assert len(encoded) < 127
    return bytes([len(encoded)]) + encoded


class Replies:
    """Counts the messages in what a server sends, by frame headers and length prefixes alone.

    Attributes:
        ended: Streams that ended.
        parts: Beginnings of messages that a frame left unfinished, by stream.
    """

    def __init__(self, control: Callable[[bytes], None]) -> None:
        """``control`` is given each frame that is not DATA, whole."""
        self.ended: set[int] = set()
        self.parts: dict[int, bytes] = {}
        self._control = control
        self._rest = b""

    def count(self, data: bytes) -> int:
        """Messages that these bytes complete; they may begin and end anywhere."""
        if self._rest:
            data = self._rest + data
        at, end, messages = 0, len(data), 0
        while end - at >= 9:
            stop = at + 9 + (data[at] << 16 | data[at + 1] << 8 | data[at + 2])
            if stop > end:
                break
            if data[at + 3] == DATA:
                messages += self._messages(data, at, stop)
            else:
                self._control(data[at:stop])
            at = stop
        self._rest = data[at:]
        return messages

    def _messages(self, data: bytes, at: int, stop: int) -> int:
        """Walk over a DATA frame, which may hold many messages, one, or a piece of one."""
        stream_id = int.from_bytes(data[at + 5 : at + 9], "big")
        flags = data[at + 4]
        if flags & PADDED:
            raise RunFailed("padded DATA, which is not understood here")
        if flags & END_STREAM:
            self.ended.add(stream_id)
        at += 9
        if stream_id in self.parts:
            data = self.parts.pop(stream_id) + data[at:stop]
            at, stop = 0, len(data)
        messages = 0
        while stop - at >= 5:
            after = at + 5 + (data[at + 1] << 24 | data[at + 2] << 16 | data[at + 3] << 8 | data[at + 4])
            if after > stop:
                break
            messages += 1
            at = after
        if at < stop:
            self.parts[stream_id] = data[at:stop]
        return messages


class RawConnection:
    """One connection with some streams open on it, all of the same method. Leave its block to close it.

    Attributes:
        streams: The ids of the streams, in the order they were opened.
    """

    def __init__(self, port: int, path: str, message: bytes, *, streams: int = 1) -> None:
        self.streams = [1 + 2 * number for number in range(streams)]
        payload = grpc_message(message)
        self._cost = len(payload)
        self._frames = {stream_id: frame(DATA, 0, stream_id, payload) for stream_id in self.streams}
        self._window = DEFAULT_WINDOW
        self._initial = DEFAULT_WINDOW
        self._windows = dict.fromkeys(self.streams, DEFAULT_WINDOW)
        self._replies = Replies(self._control)
        self._blocks: list[tuple[int, bytes]] = []  # Header blocks as they came: decoded when all is over.
        self._socket = RawSocket(port)
        block = header_block(path, f"127.0.0.1:{port}")
        hello = [
            PREFACE,
            frame(SETTINGS, 0, 0, struct.pack("!HL", INITIAL_WINDOW_SIZE, MAX_WINDOW)),
            frame(WINDOW_UPDATE, 0, 0, struct.pack("!L", MAX_WINDOW - DEFAULT_WINDOW)),
        ]
        heads = [frame(HEADERS, END_HEADERS, stream_id, block) for stream_id in self.streams]
        self._socket.send(b"".join(hello + heads))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def pour(self, messages: int, *, in_flight: int = IN_FLIGHT) -> None:
        """Send this many messages on the first stream and wait for as many, with a good number always on the way.

        More are sent when half of those on the way have been answered, as a sender does whom a window holds back.
        """
        stream_id = self.streams[0]
        one = self._frames[stream_id]
        size, cost = len(one), self._cost
        block = one * in_flight
        least = in_flight // 2
        sent = received = 0
        while received < messages:
            room = min(in_flight - (sent - received), messages - sent)
            if room >= least or room == messages - sent:
                room = min(room, self._window // cost, self._windows[stream_id] // cost)
                if room > 0:
                    self._socket.send(block[: room * size])
                    sent += room
                    self._window -= room * cost
                    self._windows[stream_id] -= room * cost
            received += self._receive()
        _expect(received, messages)

    def ping_pong(self, messages: int) -> list[int]:
        """Send one message after the other, each when the answer to the last has come; to each stream in turn.

        Returns:
            Nanoseconds from before each was written until its answer was read.
        """
        streams = self.streams
        return [self.turn(streams[number % len(streams)]) for number in range(messages)]

    def turn(self, stream_id: int) -> int:
        """Send one message on this stream and wait for its answer; the nanoseconds that took."""
        started = time.perf_counter_ns()
        self.burst((stream_id,))
        return time.perf_counter_ns() - started

    def burst(self, streams: Sequence[int]) -> None:
        """Send one message on each of these streams, in one write, and wait until as many have come back.

        A stream may stand there more than once.
        """
        total = len(streams) * self._cost
        while self._window < total or min(self._windows[stream_id] for stream_id in streams) < total:
            _expect(self._receive(), 0)
        self._window -= total
        for stream_id in streams:
            self._windows[stream_id] -= self._cost
        frames = self._frames
        self._socket.send(b"".join([frames[stream_id] for stream_id in streams]))
        received = 0
        while received < len(streams):
            received += self._receive()
        _expect(received, len(streams))

    def finish(self) -> None:
        """Half-close every stream and wait for all trailers.

        Raises:
            RunFailed: A call ended otherwise than with ``grpc-status`` 0, or sent a message nobody waited for.
        """
        self._socket.send(b"".join(frame(DATA, END_STREAM, stream_id) for stream_id in self.streams))
        while len(self._replies.ended) < len(self.streams):
            _expect(self._receive(), 0)
        if self._replies.parts:
            raise RunFailed(f"streams that ended in the midst of a message: {sorted(self._replies.parts)}")
        statuses = self.statuses()
        wrong = {stream_id: statuses.get(stream_id) for stream_id in self.streams if statuses.get(stream_id) != "0"}
        if wrong:
            raise RunFailed(f"streams that did not end with grpc-status 0: {wrong}")

    def statuses(self) -> dict[int, str]:
        """The ``grpc-status`` of every call that has ended, by stream. To be asked once: HPACK's state goes on."""
        decoder = Decoder()
        statuses: dict[int, str] = {}
        for stream_id, block in self._blocks:
            fields = {str(name): str(value) for name, value in decoder.decode(block)}
            if "grpc-status" in fields:
                statuses[stream_id] = fields["grpc-status"]
        return statuses

    def _receive(self) -> int:
        """Read once, and count the messages that were completed."""
        return self._replies.count(self._socket.receive())

    def _control(self, whole: bytes) -> None:
        """Everything but DATA."""
        kind, flags, payload = whole[3], whole[4], whole[9:]
        stream_id = int.from_bytes(whole[5:9], "big")
        if kind == WINDOW_UPDATE:
            increment = int.from_bytes(payload, "big")
            if stream_id in self._windows:
                self._windows[stream_id] += increment
            elif not stream_id:
                self._window += increment
        elif kind == PING and not flags & ACK:
            self._socket.send(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            for code, value in struct.iter_unpack("!HL", payload):
                if code == INITIAL_WINDOW_SIZE:
                    for known in self._windows:
                        self._windows[known] += value - self._initial
                    self._initial = value
                elif code == HEADER_TABLE_SIZE and value < DEFAULT_TABLE:
                    raise RunFailed(f"an HPACK table of only {value} bytes, which is not understood here")
            self._socket.send(frame(SETTINGS, ACK, 0))
        elif kind == HEADERS:
            if flags & PADDED or not flags & END_HEADERS:
                raise RunFailed("a header block in a form that is not understood here")
            self._blocks.append((stream_id, payload))
            if flags & END_STREAM:
                self._replies.ended.add(stream_id)
        elif kind == RST_STREAM:
            raise RunFailed(f"stream {stream_id} was reset with {int.from_bytes(payload, 'big')}")
        elif kind == GOAWAY:
            raise RunFailed(f"GOAWAY {int.from_bytes(payload[4:8], 'big')} {payload[8:]!r}")


def _expect(received: int, wanted: int) -> None:
    if received != wanted:
        raise RunFailed(f"{received} messages came for {wanted}")
