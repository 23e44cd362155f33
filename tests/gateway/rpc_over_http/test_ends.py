"""Calls that are ended from outside: by deadlines, by clients that leave or do not read, and by the drain."""

import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio
import trio.testing

from echo.gateway.rpc_over_http.exchange import LINGER
from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from echo.rpc import Status
from echo.wire import encode_message
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.quiet_clock import QuietClock
from tests.support.rpc_over_http import (
    BIDIRECTIONAL,
    CONNECT_STREAM,
    EACH_VERSION,
    GET_REPLY,
    STREAMING,
    WEB,
    OverHTTP1,
    OverHTTP2,
    Response,
    Version,
    answer_to,
    call,
    http1,
    http2,
    message,
    streamed,
)
from tests.support.streams import Patient, Unhurried, standing_still

pytestmark = pytest.mark.usefixtures("nothing_left")

SERVER_STREAM = f"{STREAMING}/ServerStream"
HOUR = b"\x0a\x043600"

EACH_STREAM = pytest.mark.parametrize("form", [WEB, CONNECT_STREAM])


def ended(response: Response) -> tuple[str, str]:
    """Name of the status and message, in whatever form."""
    if response.headers["content-type"] == "application/json":
        return response.json["code"], response.json.get("message", "")
    response.read_frames()
    if "grpc-web" in response.headers["content-type"]:
        status, text = response.grpc_status
        return Status(status).name.lower(), text
    error = response.end["error"]
    return error["code"], error.get("message", "")


async def begun(
    request: OverHTTP1 | OverHTTP2, path: str, form: str, body: bytes, *headers: tuple[str, str], end: bool = False
) -> None:
    """Begin a request that goes on."""
    chunked = [("transfer-encoding", "chunked")] if isinstance(request, OverHTTP1) else []
    await request.begin("POST", path, [("content-type", form), *chunked, *headers])
    await request.send(body)
    if end:
        await request.end()


# Deadlines


@EACH_VERSION
@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ("application/proto", {"connect-timeout-ms": "2000"}),
        (WEB, {"grpc-timeout": "2S"}),
        (CONNECT_STREAM, {"connect-timeout-ms": "2000"}),
        ("application/proto", {}),
        (WEB, {}),
    ],
)
async def test_the_deadline_passes(form: str, headers: dict[str, str], version: Version, clock: QuietClock) -> None:
    service = Unhurried()
    async with running_gateway([service], GRPC_CLIENT_TIMEOUT="2s") as gateway, version(gateway.port) as request:
        body = HOUR if form == "application/proto" else encode_message(HOUR)
        began_at = trio.current_time()
        response = await call(request, GET_REPLY, form, body, headers)
        assert ended(response)[0] == "deadline_exceeded"
        assert 2 <= trio.current_time() - began_at < 3
        assert service.cancelled


@EACH_VERSION
async def test_the_deadline_passes_before_the_message_has_come(version: Version, clock: QuietClock) -> None:
    async with running_gateway() as gateway, version(gateway.port) as request:
        await begun(request, GET_REPLY, "application/proto", b"\x0a", ("connect-timeout-ms", "2000"))
        response = await answer_to(request)
        assert response.status == 504
        assert trio.current_time() < 2 + 2 * LINGER


async def test_streams_have_no_deadline_of_their_own(clock: QuietClock) -> None:
    async with running_gateway(GRPC_CLIENT_TIMEOUT="2s") as gateway, http1(gateway.port) as request:
        response = await streamed(request, SERVER_STREAM, WEB, [message()])
        assert response.grpc_status == (0, "")
        assert [reply.sequence_number for reply in response.replies] == [1, 2, 3, 4, 5]
        assert trio.current_time() > 3


# Clients that leave


@EACH_VERSION
@EACH_STREAM
@pytest.mark.parametrize("half_closed", [False, True])
async def test_a_client_that_leaves_cancels_the_call(form: str, half_closed: bool, version: Version) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, version(gateway.port) as request:
        if half_closed:
            await begun(request, SERVER_STREAM, form, encode_message(message()), end=True)
        else:
            await begun(request, BIDIRECTIONAL, form, encode_message(message()))
        assert await request.receive()
        await request.leave()
        with trio.fail_after(30):
            await service.ended.wait()
        assert service.cancelled == 1


@EACH_VERSION
async def test_a_client_that_leaves_cancels_a_unary_call(version: Version) -> None:
    service = Unhurried()
    async with running_gateway([service]) as gateway, version(gateway.port) as request:
        await begun(request, GET_REPLY, "application/proto", HOUR, end=True)
        await until_called(gateway)
        await request.leave()
        await until_called(gateway, 0)
        assert service.cancelled


@EACH_VERSION
async def test_a_client_that_leaves_within_its_message_is_forgotten(version: Version) -> None:
    async with running_gateway() as gateway, version(gateway.port) as request:
        await begun(request, GET_REPLY, "application/proto", b"\x0a")
        await request.leave()


async def until_called(gateway: RunningGateway, calls: int = 1) -> None:
    with trio.fail_after(30):
        while gateway.server.calls != calls:
            await trio.testing.wait_all_tasks_blocked(0.001)


# Backpressure


class Deaf(StreamingServerBase):
    """Reads nothing."""

    def __init__(self) -> None:
        self.ended = trio.Event()

    async def bidirectional_stream(
        self,
        stream_message_iterator: AsyncIterator[StreamMessage],  # noqa: ARG002
    ) -> AsyncIterator[StreamResponse]:
        yield StreamResponse(response="I hear nothing")
        try:
            await trio.sleep_forever()
        finally:
            self.ended.set()


@EACH_VERSION
@EACH_STREAM
async def test_a_client_that_does_not_read_holds_up_the_server(form: str, version: Version, clock: QuietClock) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, version(gateway.port) as request:
        await begun(request, SERVER_STREAM, form, encode_message(message()), end=True)
        sent = await standing_still(lambda: service.sent)
        assert 0 < sent * 10_000 < 10_000_000  # Mostly in the kernel's buffers.
        await request.leave()
        await service.ended.wait()


@EACH_VERSION
async def test_a_server_that_does_not_read_holds_up_the_client(version: Version, clock: QuietClock) -> None:
    async with running_gateway([Deaf()]) as gateway, version(gateway.port) as request:
        await begun(request, BIDIRECTIONAL, CONNECT_STREAM, encode_message(message()))
        frame = encode_message(message("x" * 50_000))
        taken = 0
        with trio.move_on_after(60) as sending:
            while taken < 20_000_000:
                await request.send(frame)
                taken += len(frame)
        assert sending.cancelled_caught


@pytest.mark.parametrize("how", ["reset", "closed"])
async def test_a_client_that_leaves_while_its_upload_is_stuck_is_noticed(how: str, clock: QuietClock) -> None:
    service = Deaf()
    async with running_gateway([service]) as gateway, http1(gateway.port) as request:
        await begun(request, BIDIRECTIONAL, CONNECT_STREAM, encode_message(message()))
        assert await request.receive()
        frame = encode_message(message("x" * 20_000))
        upload = 10_000_000 if how == "reset" else 440_000  # So little that the kernel takes the rest.
        with trio.move_on_after(60):
            for _ in range(upload // len(frame)):
                await request.send(frame)
        if how == "reset":  # By a client that is killed with an answer unread, for instance.
            request.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left_at = trio.current_time()
        await request.leave()
        await service.ended.wait()
        assert trio.current_time() - left_at < 20  # The server stops waiting for its handler to read only in minutes.


# Responses that end before their requests


class Curt(StreamingServerBase):
    """Answers one message and ends."""

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        await anext(stream_message_iterator)
        yield StreamResponse(response="enough")


@EACH_VERSION
@EACH_STREAM
async def test_a_call_that_ends_before_its_request_does(form: str, version: Version, clock: QuietClock) -> None:
    async with running_gateway([Curt()]) as gateway, version(gateway.port) as request:
        await begun(request, BIDIRECTIONAL, form, encode_message(message()))
        response = (await answer_to(request)).read_frames()
        assert [reply.response for reply in response.replies] == ["enough"]
        assert response.last is not None


@EACH_VERSION
@pytest.mark.parametrize("form", ["application/proto", WEB, CONNECT_STREAM])
async def test_an_upload_above_the_limit_is_answered(form: str, version: Version) -> None:
    limit = 1024 * 1024
    async with running_gateway(GRPC_MAX_MESSAGE_SIZE="1MiB") as gateway, version(gateway.port) as request:
        chunked = [("transfer-encoding", "chunked")] if version is http1 else []
        await request.begin("POST", GET_REPLY, [("content-type", form), *chunked])
        big = encode_message(b"\x0a" + bytes(3 * limit))
        with trio.fail_after(20):
            with suppress(trio.BrokenResourceError):  # The gateway need not take it all.
                for start in range(0, len(big), 50_000):
                    await request.send(big[start : start + 50_000])
                await request.end()
            assert ended(await answer_to(request))[0] == "resource_exhausted"


# The drain


@EACH_VERSION
@pytest.mark.parametrize("form", ["application/proto", WEB, CONNECT_STREAM])
async def test_what_outlasts_the_grace_period_is_told_so(form: str, version: Version, clock: QuietClock) -> None:
    async with (
        running_gateway([Unhurried(), Patient()], SHUTDOWN_GRACE="2s") as gateway,
        version(gateway.port) as request,
    ):
        if form == "application/proto":
            await begun(request, GET_REPLY, form, HOUR, ("connect-timeout-ms", "9999999"), end=True)
        else:
            await begun(request, BIDIRECTIONAL, form, encode_message(message()))
            assert await request.receive()
        stopped_at = trio.current_time()
        gateway.stop.set()
        pieces = b""
        head = await request.head() if form == "application/proto" else (200, (await request.head())[1])
        while (piece := await request.receive()) is not None:
            pieces += piece
        assert ended(Response(*head, pieces)) == ("unavailable", "going away")
        assert 2 <= trio.current_time() - stopped_at < 3 + LINGER
        await gateway.stopped.wait()


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end(clock: QuietClock) -> None:
    service = Patient()
    async with running_gateway([service], SHUTDOWN_GRACE="1s") as gateway, http2(gateway.port) as request:
        await begun(request, SERVER_STREAM, WEB, encode_message(message()), end=True)
        await standing_still(lambda: service.sent)
        stopped_at = trio.current_time()
        gateway.stop.set()
        await gateway.stopped.wait()
        assert trio.current_time() - stopped_at < 15


async def test_the_connection_is_closed_after_an_answer_during_the_drain(clock: QuietClock) -> None:
    async with running_gateway([Unhurried()], SHUTDOWN_GRACE="9s") as gateway, http1(gateway.port) as request:
        await begun(request, GET_REPLY, "application/json", json.dumps({"message": "2"}).encode(), end=True)
        await trio.sleep(1)
        gateway.stop.set()
        response = await answer_to(request)
        assert (response.status, response.headers["connection"]) == (200, "close")
