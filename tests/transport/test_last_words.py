"""What a client on TCP gets while its connection ends: all that was said to it, and nothing else."""

import trio
from hyperframe.frame import GoAwayFrame, PingFrame

from echo.rpc import Server
from tests.support.pair import PREFACE, frames
from tests.support.raw import SETTINGS, SETTINGS_ACK
from tests.support.services import ECHO, BytesCodec
from tests.support.serving import LOOPBACK, serving

CODEC = BytesCodec()
PING = PingFrame(0, opaque_data=b"12345678").serialize()


async def test_a_client_that_still_speaks_is_not_reset(quiet_clock: trio.abc.Clock) -> None:
    server = Server([ECHO], codec=CODEC)
    async with (
        serving(server) as port,
        trio.open_nursery() as nursery,
        await trio.open_tcp_stream(LOOPBACK, port) as stream,
    ):
        await stream.send_all(PREFACE + SETTINGS + SETTINGS_ACK)
        said = await stream.receive_some()
        nursery.start_soon(server.drain, 60)
        while data := await stream.receive_some():
            said += data
        assert len([frame for frame in frames(said) if isinstance(frame, GoAwayFrame)]) == 2
        for _ in range(3):  # A socket that is closed would be reset by the first.
            await stream.send_all(PING)


async def test_an_answer_in_http1_has_nothing_of_http2_behind_it(quiet_clock: trio.abc.Clock) -> None:
    server = Server([ECHO], codec=CODEC)
    async with (
        serving(server) as port,
        trio.open_nursery() as nursery,
        await trio.open_tcp_stream(LOOPBACK, port) as stream,
    ):
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        said = await stream.receive_some()
        nursery.start_soon(server.drain, 0)
        while data := await stream.receive_some():
            said += data
    assert said.startswith(b"HTTP/1.1 505 ")
    assert said.endswith(b"\n")
