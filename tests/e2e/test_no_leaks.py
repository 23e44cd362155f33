"""The check for leaks works: it notices each kind of leak."""

import socket
from pathlib import Path

import pytest
import trio

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Server, open_channel
from tests.support import leaks
from tests.support.leaks import no_leaks
from tests.support.recording import PATHS, SLEEPING, WAIT, Recorder
from tests.support.serving import LOOPBACK, serving


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "PATIENCE", 3)


async def test_a_task_left_over_is_noticed() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(AssertionError, match=r"tasks left over.*sleep_forever"):
            async with no_leaks():
                nursery.start_soon(trio.sleep_forever)
        nursery.cancel_scope.cancel()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell which are open")
async def test_a_socket_left_over_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"descriptors left over.*socket"):
        async with no_leaks():
            left = socket.socket()
    left.close()


async def test_a_call_left_over_is_noticed() -> None:
    recorder = Recorder()
    server = Server([recorder])
    kind = Cardinality.STREAM_STREAM
    async with (
        serving(server) as port,
        open_channel(LOOPBACK, port) as channel,
        channel.request(PATHS[kind], kind, StreamMessage, StreamResponse, metadata={WAIT: SLEEPING}) as stream,
    ):
        with pytest.raises(AssertionError, match="open calls: 2"):
            async with no_leaks() as counted:
                counted.watch(server, channel)
                await stream.send_request()
                await recorder.calls.next()


async def test_a_connection_left_over_is_noticed() -> None:
    recorder = Recorder()
    server = Server([recorder])
    kind = Cardinality.STREAM_STREAM
    async with serving(server) as port, open_channel(LOOPBACK, port) as channel:
        with pytest.raises(AssertionError, match="open connections: 2"):
            async with no_leaks() as counted:
                counted.watch(server, channel)
                async with channel.request(PATHS[kind], kind, StreamMessage, StreamResponse) as stream:
                    await stream.send_request(end=True)
                    assert await stream.recv_message() is None


async def test_what_is_gone_is_not_held_against_anybody() -> None:
    async with no_leaks():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.checkpoint)
        with socket.socket():
            pass
