"""The raw load generator: counts what came however it was cut, respects windows, takes no failure for speed."""

import socket
import struct

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.raw_http2 import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    RawConnection,
    Replies,
    frame,
    grpc_message,
    header_block,
)
from tests.bench.raw_socket import RunFailed
from tests.support.tcp import pieces, tcp_server

OK = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x0bgrpc-status\x010")
BROKEN = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x0bgrpc-status\x0213")


@given(
    st.lists(st.binary(max_size=40), max_size=12),
    st.lists(st.integers(0, 10_000), max_size=8),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_messages_are_counted_however_frames_and_reads_cut_them(
    messages: list[bytes], frame_cuts: list[int], read_cuts: list[int]
) -> None:
    control: list[bytes] = []
    ping = frame(PING, 0, 0, b"12345678")
    body = b"".join(map(grpc_message, messages))
    stream = b"".join(frame(DATA, 0, 1, piece) + ping for piece in pieces(body, frame_cuts))
    replies = Replies(control.append)
    assert sum(replies.count(piece) for piece in pieces(stream, read_cuts)) == len(messages)
    assert not replies.parts
    assert set(control) <= {ping}


@given(st.lists(st.tuples(st.sampled_from([1, 3, 5]), st.binary(max_size=20)), max_size=20))
def test_pieces_of_messages_on_several_streams_are_not_mixed_up(sent: list[tuple[int, bytes]]) -> None:
    first = b"".join(frame(DATA, 0, 1 + 2 * number, grpc_message(data)[:4]) for number, (_, data) in enumerate(sent))
    second = b"".join(frame(DATA, 0, 1 + 2 * number, grpc_message(data)[4:]) for number, (_, data) in enumerate(sent))
    replies = Replies(lambda _: None)
    assert replies.count(first) == 0
    assert replies.count(second) == len(sent)


class Reader:
    """What the generator sends, frame by frame; the preface is taken off."""

    def __init__(self, accepted: socket.socket) -> None:
        self.file = accepted.makefile("rb")
        assert self.file.read(len(PREFACE)) == PREFACE

    def until(self, kind: int) -> tuple[int, bytes]:
        """The next frame of this kind: its flags and its payload. The others are dropped."""
        while True:
            found, flags, payload = self.next()
            if found == kind:
                return flags, payload

    def next(self) -> tuple[int, int, bytes]:
        head = self.file.read(9)
        return head[3], head[4], self.file.read(int.from_bytes(head[:3], "big"))


def test_a_run_is_counted_from_first_to_last_message() -> None:
    sent: list[bytes] = []

    def behave(accepted: socket.socket) -> None:
        reader = Reader(accepted)
        while True:
            flags, payload = reader.until(DATA)
            if flags & END_STREAM:
                accepted.sendall(OK)
                return
            sent.append(payload)
            accepted.sendall(frame(DATA, 0, 1, payload))

    with tcp_server(behave) as port, RawConnection(port, "/a.B/C", b"hello") as connection:
        connection.pour(100, in_flight=16)
        assert len(connection.ping_pong(3)) == 3
        connection.finish()
    assert sent == [grpc_message(b"hello")] * 103


def test_no_more_is_sent_than_the_servers_windows_allow() -> None:
    message = grpc_message(b"x" * 20)
    cost = len(message)
    sent: list[int] = []

    def behave(accepted: socket.socket) -> None:
        reader = Reader(accepted)

        def allow(*frames: bytes) -> None:
            """Count the messages that are sent when these frames have been read."""
            messages = 0
            for data in (b"".join(frames), b""):  # A PING is answered when it is read, and so before these messages.
                accepted.sendall(data + frame(PING, 0, 0, bytes(8)))
                messages += [kind for kind, *_ in iter(reader.next, (PING, ACK, bytes(8)))].count(DATA)
            sent.append(messages)

        def window_update(stream_id: int, messages: int) -> bytes:
            return frame(WINDOW_UPDATE, 0, stream_id, struct.pack("!L", messages * cost))

        for _ in range(DEFAULT_WINDOW // cost):
            reader.until(DATA)
        allow(window_update(0, 3))
        allow(window_update(1, 6))
        larger = struct.pack("!HL", INITIAL_WINDOW_SIZE, DEFAULT_WINDOW + 2 * cost)
        allow(window_update(0, 100), frame(SETTINGS, 0, 0, larger))
        allow(window_update(1, 1))

    with (
        tcp_server(behave) as port,
        RawConnection(port, "/a.B/C", message[5:]) as connection,
        pytest.raises(RunFailed),
    ):
        connection.pour(10_000, in_flight=10_000)
    assert sent == [0, 3, 5, 1]


def test_pings_are_answered() -> None:
    answers: list[tuple[int, bytes]] = []

    def behave(accepted: socket.socket) -> None:
        reader = Reader(accepted)
        accepted.sendall(frame(PING, 0, 0, b"12345678"))
        answers.append(reader.until(PING))
        accepted.sendall(OK)

    with tcp_server(behave) as port, RawConnection(port, "/a.B/C", b"") as connection:
        connection.finish()
    assert answers == [(ACK, b"12345678")]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (BROKEN, "grpc-status 0"),
        (frame(RST_STREAM, 0, 1, b"\0\0\0\x08"), "reset with 8"),
        (frame(GOAWAY, 0, 0, b"\0\0\0\x01\0\0\0\x0bcalm"), "GOAWAY 11"),
        (frame(DATA, 0, 1, grpc_message(b"surplus")), "1 messages came for 0"),
        (frame(DATA, END_STREAM, 1, grpc_message(b"cut")[:-1]), "in the midst"),
        (b"", "closed"),
    ],
    ids=["status", "reset", "goaway", "surplus", "cut short", "end"],
)
def test_a_run_whose_calls_fail_is_an_error(answer: bytes, complaint: str) -> None:
    def behave(accepted: socket.socket) -> None:
        Reader(accepted).until(DATA)
        accepted.sendall(answer)

    with (
        tcp_server(behave) as port,
        RawConnection(port, "/a.B/C", b"") as connection,
        pytest.raises(RunFailed, match=complaint),
    ):
        connection.finish()


def test_the_header_block_is_hpack_that_needs_no_table() -> None:
    decoder = Decoder()
    for _ in range(2):
        assert {str(name): str(value) for name, value in decoder.decode(header_block("/a.B/C", "host:1"))} == {
            ":method": "POST",
            ":scheme": "http",
            ":path": "/a.B/C",
            ":authority": "host:1",
            "te": "trailers",
            "content-type": "application/grpc",
            "user-agent": "echo-bench",
        }
    assert not decoder.header_table.dynamic_entries
