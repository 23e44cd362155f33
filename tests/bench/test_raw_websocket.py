"""The raw WebSocket: it counts what came however it was cut, and takes no failure for speed."""

import socket

import pytest
import wsproto
from hypothesis import given
from hypothesis import strategies as st
from wsproto.events import BytesMessage

from tests.bench.raw_socket import RunFailed
from tests.bench.raw_websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frames, RawWebSocket, masked_frame
from tests.support.frames import frame
from tests.support.tcp import pieces, tcp_server

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


@given(
    st.lists(st.integers(0, 70_000).map(bytes), max_size=6),
    st.lists(st.integers(0, 100_000), max_size=12),
    st.booleans(),
)
def test_messages_are_counted_however_frames_and_reads_cut_them(
    messages: list[bytes], cuts: list[int], fragmented: bool
) -> None:
    control: list[tuple[int, bytes]] = []
    parts = [
        frame(TEXT, b"", fin=False, masked=False) + frame(CONTINUATION, message, masked=False)
        if fragmented
        else frame(TEXT, message, masked=False)
        for message in messages
    ]
    stream = frame(PING, b"hi", masked=False).join(parts)
    frames = Frames(lambda opcode, payload: control.append((opcode, payload)))
    assert sum(frames.count(piece) for piece in pieces(stream, cuts)) == len(messages)
    assert frames.last == (messages[-1] if messages else b"")
    assert control == [(PING, b"hi")] * (len(messages) - 1)


@given(st.binary(max_size=300))
def test_what_is_sent_is_a_masked_frame_of_the_payload(payload: bytes) -> None:
    connection = wsproto.connection.Connection(wsproto.ConnectionType.SERVER)
    connection.receive_data(masked_frame(BINARY, payload))
    events = list(connection.events())
    assert b"".join(event.data for event in events if isinstance(event, BytesMessage)) == payload
    assert isinstance(events[-1], BytesMessage)
    assert events[-1].message_finished


class Reader:
    """What the generator sends, frame by frame."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.data += accepted.recv(65_536)
        self.data = self.data.partition(b"\r\n\r\n")[2]

    def next(self) -> tuple[int, int]:
        """Opcode and length of the next frame, which is a small one."""
        while len(self.data) < 6 + (self.data[1] & 0x7F if len(self.data) > 1 else 0):
            more = self.socket.recv(65_536)
            assert more
            self.data += more
        opcode, size = self.data[0] & 0x0F, self.data[1] & 0x7F
        self.data = self.data[6 + size :]
        return opcode, size


def test_a_run_is_counted_from_first_to_last_message() -> None:
    received: list[tuple[int, int]] = []

    def behave(accepted: socket.socket) -> None:
        reader = Reader(accepted)
        accepted.sendall(ACCEPTED + frame(PING, masked=False))
        while (got := reader.next())[0] != CLOSE:
            received.append(got)
            if got[0] == TEXT:
                accepted.sendall(frame(TEXT, b"hello", masked=False))
        accepted.sendall(frame(CLOSE, b"\x03\xe8", masked=False))

    with tcp_server(behave) as port, RawWebSocket(port, "/", "hello") as websocket:
        websocket.pour(50, in_flight=16)
        assert len(websocket.ping_pong(3)) == 3
        assert websocket.exchange() == b"hello"
        websocket.finish()
    assert sorted(received) == [(TEXT, 5)] * 54 + [(PONG, 0)]


@pytest.mark.parametrize(
    ("opening", "answer", "complaint"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", b"", "refused"),
        (ACCEPTED, frame(CLOSE, b"\x03\xf3", masked=False), "closed the WebSocket"),
        (ACCEPTED, frame(TEXT, masked=False) * 2, "2 messages came for 1"),
        (ACCEPTED, frame(TEXT), "masked"),
        (ACCEPTED, b"", "closed the connection"),
    ],
    ids=["refused", "closed", "surplus", "masked", "end"],
)
def test_a_run_that_fails_is_an_error(opening: bytes, answer: bytes, complaint: str) -> None:
    def behave(accepted: socket.socket) -> None:
        reader = Reader(accepted)
        accepted.sendall(opening)
        if b" 101 " in opening:
            reader.next()
            accepted.sendall(answer)

    def run(port: int) -> None:
        with RawWebSocket(port, "/", "hello") as websocket:
            websocket.exchange()

    with tcp_server(behave) as port, pytest.raises(RunFailed, match=complaint):
        run(port)
