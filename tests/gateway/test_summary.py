"""The summary of a client stream, whatever the timing: a client that half-closes always gets it, and every message that
a leaving client has sent is counted.
"""

import json
import socket
from collections.abc import AsyncIterator
from typing import Final

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from tests.support.faults import UPGRADE
from tests.support.frames import BINARY, CONTINUATION, PING, PONG, TEXT, close, frame, hear, send
from tests.support.gateway import running_gateway
from tests.support.http2 import connect_head, open_http2, websocket_over
from tests.support.leaks import no_leaks, settles
from tests.support.serving import LOOPBACK
from tests.support.streams import HELLO
from tests.support.tcp import pieces

MESSAGE: Final = HELLO.encode()
HANDSHAKE: Final = UPGRADE.replace(b"bidirectional", b"client")
LAST: Final = json.dumps({"stream_id": "a", "message": "hi", "half_close": True}).encode()

# Each way to say a message, and whether it is one to count; and each way to half-close.
MESSAGES: Final = [
    frame(TEXT, MESSAGE),
    frame(BINARY, MESSAGE),
    frame(TEXT, MESSAGE[:7], fin=False) + frame(PING, b"between") + frame(CONTINUATION, MESSAGE[7:]),
]
HALF_CLOSES: Final = [
    frame(TEXT),
    frame(BINARY),
    frame(TEXT, b'{"half_close":true}'),
    frame(TEXT, fin=False) + frame(0),
]
BETWEEN: Final = [b"", frame(PING), frame(PONG, b"unasked")]


@pytest.mark.slow
@pytest.mark.usefixtures("no_close_timeout")
@settings(max_examples=150, deadline=None)
@given(
    messages=st.lists(st.tuples(st.sampled_from(MESSAGES), st.sampled_from(BETWEEN)), max_size=5),
    half_close=st.sampled_from(HALF_CLOSES),
    behind=st.sampled_from([*BETWEEN, frame(TEXT), frame(PING) + frame(PING)]),
    cuts=st.lists(st.integers(0, 10_000), max_size=4),
    patient=st.booleans(),
)
def test_a_client_that_half_closes_gets_the_summary(
    messages: list[tuple[bytes, bytes]], half_close: bytes, behind: bytes, cuts: list[int], patient: bool
) -> None:
    data = HANDSHAKE + b"".join(message + between for message, between in messages) + half_close + behind

    async def main() -> None:
        async with (
            no_leaks(),
            running_gateway() as gateway,
            await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream,
        ):
            for piece in pieces(data, cuts):
                await send(stream, piece)
                if patient:
                    await trio.testing.wait_all_tasks_blocked()
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += await stream.receive_some(1)
            heard = await hear(stream)
        assert (heard.texts, heard.code) == ([f"from server: received {len(messages)} messages"], 1000)

    trio.run(main)


@pytest.mark.usefixtures("nothing_left", "no_close_timeout")
@pytest.mark.parametrize("number", [0, 1, 100])
async def test_over_http2_too(number: int) -> None:
    async with running_gateway() as gateway, open_http2(gateway.port) as http2:
        socket = await websocket_over(http2, "/ws/stream/client")
        await socket.send_all(number * frame(TEXT, MESSAGE) + frame(TEXT))
        heard = await hear(socket)
        assert (heard.texts, heard.code) == ([f"from server: received {number} messages"], 1000)


class Counter(StreamingServerBase):
    """Says how each call ended, and with how many messages."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.messages = 0
        self.completed = False

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        try:
            async for _ in stream_message_iterator:
                self.messages += 1
            self.completed = True
        finally:
            self.ended.set()
        return StreamResponse(sequence_number=self.messages)


class Completions(StreamingServerBase):
    """Counts the calls that were completed."""

    def __init__(self) -> None:
        self.completed = 0

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        async for _ in stream_message_iterator:
            pass
        self.completed += 1
        return StreamResponse()


@pytest.mark.parametrize("number", [0, 1, 100])
@pytest.mark.parametrize("how", ["close frame", "end of the connection", "close frame and no end"])
async def test_a_client_that_leaves_without_a_half_close_has_its_call_completed(
    how: str, number: int, nothing_left: None
) -> None:
    service = Counter()
    async with running_gateway([service]) as gateway:
        async with await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
            await stream.send_all(HANDSHAKE + number * frame(TEXT, MESSAGE))  # All in one segment, if it fits.
            if how != "end of the connection":
                await stream.send_all(close(1000))
            if how != "close frame and no end":
                await stream.send_eof()
            with trio.fail_after(20):
                await service.ended.wait()
        assert (service.completed, service.messages) == (True, number)


async def test_the_call_of_a_client_that_leaves_before_its_handshake_is_read_is_completed(nothing_left: None) -> None:
    service = Completions()
    async with running_gateway([service]) as gateway:
        for _ in range(20):  # Trio runs what is due in either order.
            with socket.create_connection((LOOPBACK, gateway.port)) as client:
                client.sendall(HANDSHAKE)
        await settles(lambda: service.completed, 20, "completed calls")


@pytest.mark.parametrize("how", ["end of the stream", "reset"])
async def test_over_http2_it_is_too(how: str, nothing_left: None) -> None:
    service = Completions()
    async with running_gateway([service]) as gateway, open_http2(gateway.port) as http2:
        for _ in range(20):
            stream_id = http2.connection.get_next_available_stream_id()
            http2.connection.send_headers(stream_id, connect_head("/ws/stream/client"))
            await (http2.end(stream_id) if how == "end of the stream" else http2.reset(stream_id))
        await settles(lambda: service.completed, 20, "completed calls")


async def test_a_half_close_with_a_close_frame_right_behind_completes_the_call(nothing_left: None) -> None:
    service = Counter()
    async with running_gateway([service]) as gateway:
        async with await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
            await stream.send_all(HANDSHAKE + frame(TEXT, MESSAGE) + frame(TEXT, LAST) + close(1000))
            with trio.fail_after(20):
                await service.ended.wait()
        assert (service.completed, service.messages) == (True, 2)
