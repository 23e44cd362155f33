"""nginx as people first configure it: the caller and the server's log get a readable reason when calls fail."""

import logging
from functools import partial
from pathlib import Path

import pytest
import trio

from echo.rpc import Cardinality, GRPCError, Status, open_channel
from tests.support.callers import calling
from tests.support.proxies import behind, installed
from tests.support.recording import PATHS
from tests.support.services import BytesCodec
from tests.support.serving import LOOPBACK

pytestmark = pytest.mark.third_party(partial(installed, "nginx"), reason="nginx is not installed")

HOP = "the server or a proxy on the way"
PLAIN = "proxy_pass http://backends;"
NEWER = f"{PLAIN} proxy_http_version 1.1;"
UNBUFFERED = f"{NEWER} proxy_request_buffering off;"


def refusal(version: str) -> str:
    return (
        f"{HOP} answered HTTP 505 (HTTP Version Not Supported) instead of gRPC: This port speaks gRPC (HTTP/2);"
        f" the request arrived as {version}. A proxy in front of it has to forward HTTP/2"
        " (nginx: grpc_pass instead of proxy_pass)."
    )


@pytest.mark.parametrize(("location", "version"), [(PLAIN, "HTTP/1.0"), (NEWER, "HTTP/1.1")])
async def test_proxy_pass_is_named_as_the_mistake_it_is(
    location: str, version: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "echo")
    async with behind("nginx", tmp_path, location=location) as ours, calling("ours", ours.port) as caller:
        for kind in Cardinality:
            outcome = await caller.call(kind)
            assert (outcome.status, outcome.message) == (Status.UNKNOWN, refusal(version))
            line = caplog.records[-1].getMessage()
            assert line.endswith(
                f" refused: the request 'POST {PATHS[kind]}' arrived as {version}, this port speaks gRPC (HTTP/2)"
            )


async def test_a_stream_whose_beginning_nginx_keeps_to_itself_ends_with_its_deadline(tmp_path: Path) -> None:
    async with behind("nginx", tmp_path, location=PLAIN) as ours, calling("ours", ours.port) as caller:
        outcome = await caller.call(Cardinality.STREAM_STREAM, half_close=False, timeout=1)
        assert (outcome.status, outcome.message) == (Status.DEADLINE_EXCEEDED, "the deadline passed")


async def test_a_stream_whose_beginning_it_passes_on_fails_at_once(tmp_path: Path) -> None:
    async with behind("nginx", tmp_path, location=UNBUFFERED) as ours, calling("ours", ours.port) as caller:
        outcome = await caller.call(Cardinality.STREAM_STREAM, half_close=False)
        assert (outcome.status, outcome.message) == (Status.UNKNOWN, refusal("HTTP/1.1"))


async def test_a_server_that_cannot_be_reached_is_told_by_the_proxy_s_status(tmp_path: Path) -> None:
    async with (
        behind("nginx", tmp_path, location=f"grpc_pass grpc://{LOOPBACK}:1;") as ours,
        calling("ours", ours.port) as caller,
    ):
        outcome = await caller.call(Cardinality.UNARY_UNARY)
        message = f"{HOP} answered HTTP 502 (Bad Gateway) instead of gRPC"
        assert (outcome.status, outcome.message) == (Status.UNAVAILABLE, message)


async def test_a_stream_that_is_silent_for_too_long_is_reset_and_not_by_the_server(tmp_path: Path) -> None:
    location = "grpc_pass grpc://backends; grpc_read_timeout 1s;"
    async with (
        behind("nginx", tmp_path, location=location) as ours,
        open_channel(LOOPBACK, ours.port, codec=BytesCodec()) as channel,
    ):
        path = PATHS[Cardinality.STREAM_STREAM]
        async with channel.request(path, Cardinality.STREAM_STREAM, bytes, bytes) as stream:
            await stream.send_message(b"")
            seen = await ours.recorder.calls.next()
            with trio.fail_after(30), pytest.raises(GRPCError) as raised:
                while True:  # A busy machine may take more than nginx's second for the reply.
                    assert await stream.recv_message() is not None
            assert raised.value.status is Status.INTERNAL
            assert raised.value.message == f"the call was reset by {HOP} (INTERNAL_ERROR)"
            with trio.fail_after(30):
                await seen.ended.wait()
            assert seen.cancelled.is_set()
