"""RFC 6455, frame by frame: what a client may send and what it may not, and what it is told.

After the idea of the Autobahn test suite: a table of cases, each sent as raw bytes to the gateway. A message that
arrives whole is answered by the echo; a connection that fails is told why by a close frame, and is gone.
"""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from tests.support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Heard,
    close,
    fragments,
    frame,
    hear,
    send,
)
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.websocket import WebSocket, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

MESSAGE = '{"stream_id":"a","message":"é€𝄞"}'.encode()  # Characters of two, three and four bytes.
HALF = len(MESSAGE) // 2


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[RunningGateway, WebSocket]]:
    async with (
        running_gateway(GRPC_MAX_MESSAGE_SIZE="100KiB") as gateway,
        open_websocket(gateway.port, "/ws/stream/bidirectional") as socket,
    ):
        yield gateway, socket


async def outcome(data: bytes) -> Heard:
    """What becomes of a client that sends this and then a half-close."""
    async with connected() as (gateway, socket):
        await send(socket.stream, data + frame(TEXT))
        heard = await hear(socket.stream)
        assert (await gateway.get("/healthz")).status == 200
        return heard


ECHO = ["from server: é€𝄞"]


@pytest.mark.parametrize(
    ("data", "texts", "pongs"),
    [
        pytest.param(frame(TEXT, MESSAGE), ECHO, [], id="text"),
        pytest.param(frame(BINARY, MESSAGE), ECHO, [], id="binary"),
        pytest.param(fragments(MESSAGE[:HALF], MESSAGE[HALF:]), ECHO, [], id="two fragments"),
        pytest.param(fragments(b"", MESSAGE, b""), ECHO, [], id="empty fragments around"),
        pytest.param(fragments(*(bytes([b]) for b in MESSAGE)), ECHO, [], id="a fragment each byte"),
        pytest.param(fragments(MESSAGE[:HALF], MESSAGE[HALF:], opcode=BINARY), ECHO, [], id="binary fragments"),
        pytest.param(
            frame(TEXT, MESSAGE[:HALF], fin=False) + frame(PING, b"p") + frame(CONTINUATION, MESSAGE[HALF:]),
            ECHO,
            [b"p"],
            id="ping between fragments",
        ),
        pytest.param(frame(PING), [], [b""], id="empty ping"),
        pytest.param(frame(PING, b"\xff" * 125), [], [b"\xff" * 125], id="longest ping"),
        pytest.param(10 * frame(PING, b"x"), [], 10 * [b"x"], id="ten pings"),
        pytest.param(frame(PONG, b"unasked"), [], [], id="unasked pong"),
        pytest.param(frame(TEXT, MESSAGE) + frame(PONG) + frame(TEXT, MESSAGE), 2 * ECHO, [], id="pong between"),
        pytest.param(frame(TEXT, MESSAGE + b" " * 100), ECHO, [], id="length in two bytes"),
        pytest.param(frame(TEXT, MESSAGE + b" " * 70_000), ECHO, [], id="length in eight bytes"),
        pytest.param(
            frame(TEXT, MESSAGE, fin=False) + 1000 * frame(CONTINUATION, b" ", fin=False) + frame(CONTINUATION),
            ECHO,
            [],
            id="a thousand fragments",
        ),
    ],
)
async def test_what_a_client_may_send(data: bytes, texts: list[str], pongs: list[bytes]) -> None:
    assert await outcome(data) == Heard(texts, pongs, struct.pack("!H", 1000))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        *(pytest.param(frame(TEXT, MESSAGE, rsv=rsv), 1002, id=f"reserved bits {rsv:03b}") for rsv in range(1, 8)),
        *(pytest.param(frame(op, b"x"), 1002, id=f"opcode {op}") for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        pytest.param(frame(TEXT, MESSAGE, masked=False), 1002, id="unmasked"),
        pytest.param(frame(PING, b"", masked=False), 1002, id="unmasked ping"),
        pytest.param(frame(PING, b"x" * 126), 1002, id="ping too long"),
        pytest.param(frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002, id="close too long"),
        pytest.param(frame(PING, b"x", fin=False), 1002, id="fragmented ping"),
        pytest.param(frame(CLOSE, b"\x03\xe8", fin=False), 1002, id="fragmented close"),
        pytest.param(frame(CONTINUATION, MESSAGE), 1002, id="continuation of nothing"),
        pytest.param(frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002, id="text within a message"),
        pytest.param(frame(TEXT, b"{", fin=False) + frame(BINARY, b"}"), 1002, id="binary within a message"),
        pytest.param(b"\x81\xfe\x00\x7d" + b"\x00" * 129, 1002, id="length in two bytes needlessly"),
        pytest.param(
            b"\x81\xff" + struct.pack("!Q", 65_535) + b"\x00" * 4, 1002, id="length in eight bytes needlessly"
        ),
        pytest.param(b"\x81\xff\x80" + b"\x00" * 11, 1002, id="negative length"),
        pytest.param(frame(TEXT, b"\xff"), 1007, id="no UTF-8"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="surrogate in UTF-8"),
        pytest.param(frame(TEXT, b"\xc0\xaf"), 1007, id="overlong UTF-8"),
        pytest.param(frame(TEXT, b"\xf4\x90\x80\x80"), 1007, id="beyond Unicode"),
        pytest.param(frame(TEXT, "é".encode()[:1]), 1007, id="character cut off"),
        pytest.param(fragments(b"{", "é".encode()[:1], b"}"), 1007, id="character cut off between fragments"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="close with half a code"),
        pytest.param(close(1000, b"\xff"), 1007, id="close with a reason that is no UTF-8"),
        *(
            pytest.param(close(code), 1002, id=f"close {code}")
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
        ),
        pytest.param(frame(TEXT, b"x" * 200_000), 1009, id="too big"),
        pytest.param(frame(BINARY, b"x" * 200_000), 1009, id="too big and binary"),
        pytest.param(fragments(*[b"x" * 1000] * 200), 1009, id="too big in fragments"),
        pytest.param(frame(TEXT, "é".encode() * 60_000), 1009, id="too big in bytes, not in characters"),
        pytest.param(b"\x81\xff" + struct.pack("!Q", 2**62) + b"\x00" * 4 + b"x" * 200_000, 1009, id="endless"),
    ],
)
async def test_what_a_client_may_not_send(data: bytes, code: int) -> None:
    heard = await outcome(data)
    assert (heard.texts, heard.pongs, heard.code) == ([], [], code)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4999])
async def test_a_close_frame_is_answered_with_its_own_code(code: int) -> None:
    heard = await outcome(close(code, "adiós".encode()))
    assert heard.close == struct.pack("!H", code) + "adiós".encode()


async def test_a_close_frame_without_a_code_is_answered_without_one() -> None:
    assert (await outcome(frame(CLOSE))).close == b""


async def test_nothing_after_a_close_frame_counts() -> None:
    assert await outcome(close(1000) + frame(TEXT, MESSAGE)) == Heard([], [], b"\x03\xe8")


async def test_utf_8_may_be_cut_at_every_byte() -> None:
    async with connected() as (_, socket):
        for cut in range(len(MESSAGE) + 1):
            await send(socket.stream, fragments(MESSAGE[:cut], MESSAGE[cut:]))
        await send(socket.stream, frame(TEXT))
        assert (await hear(socket.stream)).texts == (len(MESSAGE) + 1) * ECHO


async def test_frames_may_come_in_pieces_of_any_size() -> None:
    data = frame(TEXT, MESSAGE) + frame(PING, b"p") + fragments(MESSAGE[:HALF], MESSAGE[HALF:]) + frame(TEXT)
    async with running_gateway() as gateway:
        for size in range(1, len(data), 7):
            async with open_websocket(gateway.port, "/ws/stream/bidirectional") as socket:
                for start in range(0, len(data), size):
                    await send(socket.stream, data[start : start + size])
                    await trio.testing.wait_all_tasks_blocked()
                assert await hear(socket.stream) == Heard(2 * ECHO, [b"p"], b"\x03\xe8")


async def test_a_flood_of_pings_unread_by_their_sender_stops_being_read(mock_clock: trio.testing.MockClock) -> None:
    mock_clock.autojump_threshold = 0.01
    async with (
        running_gateway() as gateway,
        open_websocket(gateway.port, "/ws/stream/bidirectional", buffer=4096) as socket,
    ):
        flood = 1000 * frame(PING, b"x" * 125)
        for _ in range(1000):
            with trio.move_on_after(1) as waiting:
                await socket.stream.send_all(flood)
            if waiting.cancelled_caught:
                break
        else:
            raise AssertionError("130 MB of pings were taken")
        # In the end the gateway gives up on it, though it never gets to read again.
        await trio.sleep(200)
        assert gateway.server.calls == 0
