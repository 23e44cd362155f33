"""The server's access log: one line for each call, with the status sent, or why none was sent."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing
from anyio.abc import ByteStream

from echo.access_log import AccessLog
from echo.outlet import Outlet
from echo.rpc import Channel, GRPCError, Limits, Server, Status, StreamTerminatedError, open_channel_over
from echo.transport import memory_stream_pair
from tests.support.http2_frames import data
from tests.support.raw import raw_client
from tests.support.services import BIDI, CODEC, UNARY, BytesStream, Service, path, unary
from tests.support.serving import serving
from tests.support.target import request

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def one(stream: BytesStream) -> None:
    request = await stream.recv_message()
    match request:
        case b"not found":
            raise GRPCError(Status.NOT_FOUND, "no such\nthing")
        case b"not found in a nursery":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_raise, GRPCError(Status.NOT_FOUND, "no such thing"))
        case b"bug":
            raise LookupError("secret")
        case b"reset":
            await stream.cancel()
            return
        case b"reset after trailers that cannot be sent":
            with suppress(ValueError):
                await stream.send_trailing_metadata(status=Status.DATA_LOSS, metadata={"Not Allowed": "x"})
            await stream.cancel()
            return
        case b"sleep":
            await trio.sleep_forever()
    assert request is not None
    await stream.send_message(request * 2)


async def _raise(error: Exception) -> None:
    raise error


async def each(stream: BytesStream) -> None:
    async for message in stream:
        await stream.send_message(message)


async def pour(stream: BytesStream) -> None:
    while True:
        await stream.send_message(bytes(10_000))


class Ours:
    """A server with an access log, and a channel to it; cancelling ``serving`` stops it at once."""

    def __init__(self, server: Server, serving: trio.CancelScope, channel: Channel, stream: io.StringIO) -> None:
        self.server = server
        self.serving = serving
        self.channel = channel
        self._stream = stream

    async def lines(self) -> list[dict[str, Any]]:
        """The log, once all is quiet."""
        await trio.testing.wait_all_tasks_blocked()
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    async def line(self) -> dict[str, Any]:
        """The only one."""
        (line,) = await self.lines()
        return line


@asynccontextmanager
async def logged(limits: Limits = Limits(), compression: str | None = None) -> AsyncIterator[Ours]:
    stream = io.StringIO()
    server = Server(
        [Service(One=(UNARY, one), Each=(BIDI, each), Pour=(BIDI, pour))],
        codec=CODEC,
        limits=limits,
        access_log=AccessLog(Outlet(stream), as_json=True),
        compression=compression,
    )
    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:

        async def serve(theirs: ByteStream) -> None:
            with scope:
                await server.serve_connection(theirs)

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(serve, theirs)
            return ours

        async with open_channel_over(dial, "memory", codec=CODEC) as channel:
            yield Ours(server, scope, channel, stream)
        nursery.cancel_scope.cancel()


async def test_a_call_is_one_line_with_peer_method_duration_and_sizes(autojump_clock: trio.abc.Clock) -> None:
    metadata = {
        "x-request-id": "r-1",
        "x-forwarded-for": "10.0.0.1, 10.0.0.2",
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    }
    async with logged() as ours:
        assert await unary(ours.channel, "One", b"hi", metadata=metadata) == b"hihi"
        line = await ours.line()
    del line["timestamp"]
    assert line.pop("seconds") >= 0
    assert line == {
        "level": "info",
        "logger": "echo.access",
        "event": "call",
        "kind": "grpc",
        "peer": "memory",
        "forwarded_for": "10.0.0.1, 10.0.0.2",
        "method": "/test.Service/One",
        "status": "OK",
        "messages_in": 1,
        "messages_out": 1,
        "bytes_in": 2,
        "bytes_out": 4,
        "request_id": "r-1",
        "trace_id": TRACE,
    }


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (b"not found", "NOT_FOUND", "no such\\nthing"),
        (b"not found in a nursery", "NOT_FOUND", "no such thing"),
        (b"bug", "INTERNAL", "internal server error"),
        (b"reset", "CANCELLED", "the handler reset the call"),
        (b"reset after trailers that cannot be sent", "CANCELLED", "the handler reset the call"),
    ],
)
async def test_the_status_is_the_one_that_was_sent(request_: bytes, status: str, reason: str) -> None:
    async with logged() as ours:
        with pytest.raises(GRPCError):
            await unary(ours.channel, "One", request_, timeout=10)
        line = await ours.line()
    assert (line["status"], line["reason"]) == (status, reason)
    assert (line["messages_in"], line["messages_out"]) == (1, 0)


async def test_a_call_that_is_open_when_the_server_is_stopped_at_once_ends_with_its_connection(
    autojump_clock: trio.abc.Clock,
) -> None:
    async def call(ours: Ours) -> None:
        with suppress(GRPCError):
            await unary(ours.channel, "One", b"sleep")

    async with logged() as ours, trio.open_nursery() as nursery:
        nursery.start_soon(call, ours)
        await trio.testing.wait_all_tasks_blocked()
        ours.serving.cancel()
        line = await ours.line()
        nursery.cancel_scope.cancel()
    assert (line["status"], line["reason"]) == ("CANCELLED", "the connection was closed")


async def test_a_call_of_an_unknown_method_is_logged_too() -> None:
    async with logged() as ours:
        with pytest.raises(GRPCError):
            await unary(ours.channel, "None\x1b", b"hi")
        line = await ours.line()
    assert (line["method"], line["status"]) == ("/test.Service/None\\x1b", "UNIMPLEMENTED")


async def test_a_passed_deadline_is_logged_as_the_cause_on_either_side(autojump_clock: trio.abc.Clock) -> None:
    async with logged() as ours:
        await trio.sleep(100)  # So that the clock says something else than how long the call takes.
        with pytest.raises(GRPCError):
            await unary(ours.channel, "One", b"sleep", timeout=7)
        line = await ours.line()
    assert line["status"] == "DEADLINE_EXCEEDED"
    assert line["seconds"] == pytest.approx(7, abs=0.1)


async def test_a_client_that_cancels_is_logged_as_the_cause(autojump_clock: trio.abc.Clock) -> None:
    async with logged() as ours:
        with trio.move_on_after(3):
            await unary(ours.channel, "One", b"sleep", timeout=7)
        line = await ours.line()
    assert (line["status"], line["reason"]) == ("CANCELLED", "the call was reset (CANCEL)")
    assert line["seconds"] == pytest.approx(3, abs=0.1)


async def test_a_vanished_client_is_logged_as_the_cause() -> None:
    async with logged() as ours, ours.channel.request(path("Each"), BIDI, bytes, bytes) as stream:
        await stream.send_message(b"hi")
        assert await stream.recv_message() == b"hi"
        ours.channel.close()
        line = await ours.line()
        await stream.cancel()
    assert (line["status"], line["reason"]) == ("CANCELLED", "the other side closed the connection")
    assert (line["messages_in"], line["messages_out"]) == (1, 1)


async def test_a_stopping_server_is_logged_as_the_cause(autojump_clock: trio.abc.Clock) -> None:
    async with logged() as ours, trio.open_nursery() as nursery:

        async def call() -> None:
            with pytest.raises(GRPCError):
                await unary(ours.channel, "One", b"sleep")

        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        await ours.server.drain(1)
        line = await ours.line()
    assert (line["status"], line["reason"]) == ("UNAVAILABLE", "the server is shutting down")


async def test_a_client_that_reads_nothing_is_logged_as_the_cause(autojump_clock: trio.abc.Clock) -> None:
    async with (
        logged(Limits(window_timeout=100)) as ours,
        ours.channel.request(path("Pour"), BIDI, bytes, bytes) as stream,
    ):
        await stream.send_request()
        await trio.sleep(200)
        line = await ours.line()
        with pytest.raises((GRPCError, StreamTerminatedError)):
            while True:
                await stream.recv_message()
    assert (line["status"], line["reason"]) == ("CANCELLED", "the other side took no data of the call for 100 s")


@pytest.mark.parametrize("batched", [True, False])
async def test_the_messages_of_a_stream_are_counted_each_way(batched: bool) -> None:
    sizes = [0, 1, 300, 100_000, 5]
    async with logged() as ours:
        async with ours.channel.request(path("Each"), BIDI, bytes, bytes) as stream, trio.open_nursery() as nursery:

            async def send() -> None:
                for size in sizes:
                    await stream.send_message(bytes(size))
                    if not batched:
                        await trio.testing.wait_all_tasks_blocked()
                await stream.end()

            await stream.send_request()
            nursery.start_soon(send)
            assert [len(message) async for message in stream] == sizes
        line = await ours.line()
    assert (line["messages_in"], line["bytes_in"]) == (len(sizes), sum(sizes))
    assert (line["messages_out"], line["bytes_out"]) == (len(sizes), sum(sizes))


async def test_logged_bytes_are_those_on_the_wire() -> None:
    async with logged(compression="gzip") as ours:
        assert await unary(ours.channel, "One", bytes(10_000), compression="gzip") == bytes(20_000)
        line = await ours.line()
    assert 0 < line["bytes_in"] < 200
    assert 0 < line["bytes_out"] < 200


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"content-type": "text/plain"}, "UNKNOWN", "HTTP 415: content-type 'text/plain' is not application/grpc"),
        ({":method": "GET"}, "INTERNAL", "HTTP 405: calls use the method POST"),
        ({"grpc-encoding": "br"}, "UNIMPLEMENTED", "grpc-encoding 'br' is not supported"),
        ({"grpc-timeout": "soon"}, "INTERNAL", "malformed grpc-timeout 'soon'"),
        ({"x": "y" * 17_000}, "RESOURCE_EXHAUSTED", "request metadata of 17375 bytes exceeds the limit of 16384"),
    ],
)
async def test_a_refused_request_is_logged_too(changes: dict[str, str], status: str, reason: str) -> None:
    stream = io.StringIO()
    server = Server([Service(One=(UNARY, one))], codec=CODEC, access_log=AccessLog(Outlet(stream), as_json=True))
    fields = dict(request(path("One"), x_request_id="r-1")) | changes
    async with serving(server) as port, raw_client(port) as client:
        await client.send(client.head(1, fields.items(), end=True))
        await client.heard(1)
    line = json.loads(stream.getvalue())
    assert (line["method"], line["request_id"]) == ("/test.Service/One", "r-1")
    assert (line["status"], line["reason"]) == (status, reason)


class Counting(Outlet):
    """Counts the writes."""

    writes = 0

    def write_line(self, line: bytes, count: int = 1) -> bool:
        self.writes += 1
        return super().write_line(line, count)


async def test_lines_of_calls_that_end_together_are_written_together() -> None:
    stream = io.StringIO()
    outlet = Counting(stream)
    server = Server([Service(One=(UNARY, one))], codec=CODEC, access_log=AccessLog(outlet, as_json=True))
    calls = [*range(1, 101, 2)]
    async with serving(server) as port, raw_client(port) as client:
        heads = [client.head(number, request(path("One"))) + data(number, b"\0\0\0\0\1x", end=True) for number in calls]
        await client.send(*heads)
        for number in calls:
            assert (await client.heard(number)).ended
        await client.pause()
        assert stream.getvalue().count("\n") == len(calls)
        assert all(json.loads(line)["status"] == "OK" for line in stream.getvalue().splitlines())
        assert outlet.writes < len(calls) / 2
