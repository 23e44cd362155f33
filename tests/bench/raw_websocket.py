"""A WebSocket as raw bytes: the load generator for gateways, made like `tests.bench.raw_http2`.

The frame that is sent is built and masked once (RFC 6455 §5.2); what comes back is counted by its frame headers.
"""

import time
from collections.abc import Callable
from typing import Final, Self

from tests.bench.raw_socket import RawSocket, RunFailed

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN: Final = 0x80
KEY: Final = b"\x37\xfa\x21\x3d"

IN_FLIGHT: Final = 128  # Messages on the way at once.
NORMAL: Final = (1000).to_bytes(2, "big")


def masked_frame(opcode: int, payload: bytes) -> bytes:
    """A whole message in one frame, as a client has to send it."""
    size = len(payload)
    assert size < 65_536
    length = bytes([FIN | size]) if size < 126 else bytes([FIN | 126]) + size.to_bytes(2, "big")
    return bytes([FIN | opcode]) + length + KEY + bytes(byte ^ KEY[at % 4] for at, byte in enumerate(payload))


class Frames:
    """Counts the messages in what a server sends.

    Attributes:
        last: The payload of the last frame of a message.
    """

    def __init__(self, control: Callable[[int, bytes], None]) -> None:
        """``control`` is given opcode and payload of each frame that carries no message."""
        self.last = b""
        self._control = control
        self._rest = b""

    def count(self, data: bytes) -> int:
        """Messages that these bytes complete; they may begin and end anywhere."""
        if self._rest:
            data = self._rest + data
        at, end, messages = 0, len(data), 0
        start = 0
        while end - at >= 2:
            size, start = data[at + 1], at + 2
            if size >= 126:
                if size > 127:
                    raise RunFailed("a masked frame from a server")
                start += 2 if size == 126 else 8
                size = int.from_bytes(data[at + 2 : start], "big")
            if start + size > end:
                break
            opcode = data[at] & 0x0F
            if opcode >= CLOSE:
                self._control(opcode, data[start : start + size])
            else:
                messages += data[at] >> 7
                self.last = data[start : start + size]
            at = start + size
        self._rest = data[at:]
        return messages


class RawWebSocket:
    """An open WebSocket that sends one message, a text, again and again. Leave its block to close it."""

    def __init__(self, port: int, target: str, message: str) -> None:
        """Connect and shake hands. Raises RunFailed, or OSError."""
        self._frame = masked_frame(TEXT, message.encode())
        self._frames = Frames(self._on_control)
        self._closed = False
        self._socket = RawSocket(port)
        try:
            self._shake_hands(port, target)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def pour(self, messages: int, *, in_flight: int = IN_FLIGHT) -> None:
        """Send this many messages and wait for as many, with a good number always on the way.

        More are sent when half of those on the way have been answered.
        """
        size, block, least = len(self._frame), self._frame * in_flight, in_flight // 2
        sent = received = 0
        while received < messages:
            room = min(in_flight - (sent - received), messages - sent)
            if room and (room >= least or room == messages - sent):
                self._socket.send(block[: room * size])
                sent += room
            received += self._receive()
        _expect(received, messages)

    def ping_pong(self, messages: int) -> list[int]:
        """Send one message after the other, each when the answer to the last has come.

        Returns:
            Nanoseconds from before each was written until its answer was read.
        """
        times = []
        for _ in range(messages):
            started = time.perf_counter_ns()
            self.exchange()
            times.append(time.perf_counter_ns() - started)
        return times

    def exchange(self) -> bytes:
        """Send the message once; the answer."""
        self._socket.send(self._frame)
        received = 0
        while not received:
            received = self._receive()
        _expect(received, 1)
        return self._frames.last

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def answer(self) -> None:
        """Answer the pings that have come. Raises RunFailed if it was anything else."""
        _expect(self._receive(), 0)

    def finish(self) -> None:
        """Close as a client does, and wait for the answer. Raises RunFailed if there is more to come than that."""
        self._socket.send(masked_frame(CLOSE, NORMAL))
        while not self._closed:
            _expect(self._frames.count(self._socket.receive()), 0)

    def _shake_hands(self, port: int, target: str) -> None:
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ]
        self._socket.send("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.receive()
        head, _, rest = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise RunFailed(f"the upgrade was refused: {head.decode('latin-1')}")
        _expect(self._frames.count(rest), 0)

    def _receive(self) -> int:
        messages = self._frames.count(self._socket.receive())
        if self._closed:
            raise RunFailed("the server closed the WebSocket")
        return messages

    def _on_control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._socket.send(masked_frame(PONG, payload))
        elif opcode == CLOSE:
            self._closed = True


def _expect(received: int, wanted: int) -> None:
    if received != wanted:
        raise RunFailed(f"{received} messages came for {wanted}")
