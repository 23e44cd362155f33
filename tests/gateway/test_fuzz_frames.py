"""Frames of all kinds in any order, from several clients at once, over both HTTP versions: no client harms another.

`test_fuzz` sends random bytes; here each client sends valid enough frames to get deep into the relay: messages of every
kind, whole and in fragments, control frames, half-closes, ends. Meanwhile other clients continue with their echo, and
at the end nothing is left over in the gateway and the server.
"""

from contextlib import suppress
from typing import Final

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faults import UPGRADE
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawStream, close, fragments, frame, send
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.http2 import open_http2, websocket_over
from tests.support.leaks import no_leaks
from tests.support.tcp import pieces
from tests.support.websocket import open_websocket

MESSAGE: Final = b'{"stream_id":"a","message":"hi"}'
ROUTES: Final = ["bidirectional", "server", "client"]

payloads = st.one_of(
    st.just(MESSAGE),
    st.sampled_from([b"", b"{}", b"nonsense", b'{"half_close":true}', b'{"stream_id":1}', "é€𝄞".encode(), b"\xff"]),
    st.binary(max_size=200),
    st.just(b"x" * 2_000),  # Over the limit.
)
opcodes = st.sampled_from([TEXT, BINARY])
sound = st.one_of(
    st.builds(frame, opcodes, payloads),
    st.builds(
        lambda opcode, parts: fragments(*parts, opcode=opcode), opcodes, st.lists(payloads, min_size=1, max_size=4)
    ),
    st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125)),
)
# Each may well be the last that counts.
broken = st.one_of(
    st.builds(close, st.integers(0, 5_000), st.binary(max_size=123)),
    st.builds(frame, st.sampled_from([TEXT, BINARY, CONTINUATION, PING, CLOSE]), payloads, fin=st.booleans()),
    st.builds(frame, st.integers(0, 15), st.binary(max_size=130), rsv=st.integers(0, 7), masked=st.booleans()),
    st.builds(lambda data, size: data[:size], st.builds(frame, opcodes, payloads), st.integers(1, 40)),
)
talks = st.tuples(
    st.sampled_from(ROUTES),
    st.booleans(),  # Over HTTP/2.
    st.builds(lambda frames, end: b"".join([*frames, *end]), st.lists(sound, max_size=8), st.lists(broken, max_size=2)),
    st.lists(st.integers(0, 10_000), max_size=5),  # Where it is cut.
)


async def talk(gateway: RunningGateway, route: str, over_http2: bool, data: bytes, cuts: list[int]) -> None:
    """Send it all, and leave without a word."""
    if over_http2:
        async with open_http2(gateway.port) as http2:
            await pour(await websocket_over(http2, f"/ws/stream/{route}"), data, cuts)
    else:
        async with await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
            await pour(stream, UPGRADE.replace(b"bidirectional", route.encode()) + data, cuts)


async def pour(stream: RawStream, data: bytes, cuts: list[int]) -> None:
    for piece in pieces(data, cuts):
        with suppress(EOFError):
            await send(stream, piece)
        await trio.lowlevel.checkpoint()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(talks, min_size=1, max_size=4))
def test_frames_of_some_do_not_reach_others(talking: list[tuple[str, bool, bytes, list[int]]]) -> None:
    async def main() -> None:
        async with (
            no_leaks(),
            running_gateway(GRPC_MAX_MESSAGE_SIZE="1KiB") as gateway,
            open_websocket(gateway.port, "/ws/stream/bidirectional") as bystander,
            trio.open_nursery() as nursery,
        ):
            for each in talking:
                nursery.start_soon(talk, gateway, *each)
            for number in range(1, 6):
                await bystander.send(MESSAGE.decode())
                assert f'"sequence_number":{number}' in str(await bystander.receive())

    trio.run(main)
