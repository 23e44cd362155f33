"""Handing spans over by OTLP: on one connection, again where that helps, and never for longer than it may take."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
import trio
import trio.testing
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from echo.telemetry.tracing.batches import ExportError
from echo.telemetry.tracing.environment import CollectorSettings
from echo.telemetry.tracing.otlp import Collector
from echo.telemetry.tracing.program import describe
from echo.telemetry.tracing.protobuf import SERVER, attribute, event, failure, head, in_group, name_and_kind
from tests.support.collector import Receiver, running_receiver

NAME = "a name \u2014 of any letters"


def span(number: int = 1) -> bytes:
    begun = head(bytes([number]) * 16, bytes([number]) * 8, None, time.time_ns(), time.time_ns())
    return in_group(begun + name_and_kind(NAME, SERVER) + attribute("number", number) + failure("no"))


def to(receiver: Receiver, **changes: object) -> Collector:
    collector = CollectorSettings(f"http://127.0.0.1:{receiver.port}/v1/traces", **changes)  # type: ignore[arg-type]
    return Collector(collector, describe())


async def test_spans_arrive_whole_on_one_connection() -> None:
    async with running_receiver() as receiver:
        collector = to(receiver, headers=(("authorization", "Bearer x"),))
        for number in (1, 2):
            await collector.send([span(number), span(number + 2)])
        await collector.close()
    assert [found.attributes["number"] for found in receiver.spans] == [1, 3, 2, 4]
    assert {(found.name, found.kind, found.failed) for found in receiver.spans} == {(NAME, "server", True)}
    assert receiver.spans[0].trace == "01" * 16
    assert receiver.connections == 1
    for request in receiver.requests:
        assert request["target"] == "/v1/traces"
        assert request["content-type"] == "application/x-protobuf"
        assert request["authorization"] == "Bearer x"


async def test_a_span_may_be_as_large_as_it_likes() -> None:
    large = head(bytes(16), bytes(8), bytes(8), 1, 2**63) + attribute("text", "x" * 70_000) + event("e" * 200, 1, "c")
    async with running_receiver() as receiver:
        collector = to(receiver, gzip=True)
        await collector.send([in_group(large), span()])
        await collector.close()
    assert len(str(receiver.spans[0].attributes["text"])) == 70_000
    assert receiver.requests[0]["content-encoding"] == "gzip"


async def test_a_connection_that_the_collector_has_closed_is_replaced() -> None:
    async with running_receiver() as receiver:
        receiver.closes = True
        collector = to(receiver)
        for number in (1, 2, 3):
            await collector.send([span(number)])
        await collector.close()
    assert len(receiver.spans) == 3
    assert receiver.connections == 3


async def test_a_collector_that_is_busy_is_asked_again_when_it_says() -> None:
    busy = (429, 502, 503, 504)  # OTLP Specification, "Retryable Response Codes".
    async with running_receiver() as receiver:
        receiver.answers = [(status, {"retry-after": "0"}) for status in busy]
        collector = to(receiver)
        await collector.send([span()])
        await collector.close()
    assert len(receiver.requests) == len(busy) + 1
    assert len(receiver.spans) == 1


@pytest.mark.parametrize("answer", [(400, {}), (404, {}), (503, {"retry-after": "3600"})])
async def test_what_cannot_help_is_not_tried(answer: tuple[int, dict[str, str]]) -> None:
    async with running_receiver() as receiver:
        receiver.answers = [answer]
        collector = to(receiver)
        with pytest.raises(ExportError, match=f"HTTP {answer[0]}"):
            await collector.send([span()])
        await collector.send([span()])
        await collector.close()
    assert len(receiver.requests) == 2


async def silent(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def test_a_collector_that_says_nothing_is_given_up_in_time() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, silent, 0)
        collector = Collector(
            CollectorSettings(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/", timeout=0.2), describe()
        )
        with trio.fail_after(20), pytest.raises(ExportError, match="does not answer"):
            await collector.send([span()])
        nursery.cancel_scope.cancel()


async def test_a_collector_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:  # Bound, but it does not listen.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1/traces"
        with pytest.raises(ExportError, match=f"{url}: .*(connection|refused)"):
            await Collector(CollectorSettings(url, timeout=1), describe()).send([span()])


@pytest.mark.parametrize(
    ("url", "port"), [("http://collector/", 80), ("https://collector/", 443), ("https://collector:4318/", 4318)]
)
async def test_a_url_without_a_port_has_that_of_its_scheme(
    url: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []

    async def connect(*address: object, **_: object) -> None:
        called.append(address)
        raise OSError("unreachable")

    monkeypatch.setattr(anyio, "connect_tcp", connect)
    with pytest.raises(ExportError):
        await Collector(CollectorSettings(url, timeout=0.1), describe()).send([span()])
    assert called == [("collector", port)]


async def test_what_is_not_http_is_refused() -> None:
    async def nonsense(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 mail.test ESMTP\r\n\r\n")
        await stream.receive_some()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, nonsense, 0)
        collector = Collector(
            CollectorSettings(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"), describe()
        )
        with pytest.raises(ExportError, match=r"invalid HTTP/1\.1"):
            await collector.send([span()])
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        ([b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\nX-A: b\r\n\r\n\n\0"], 1),
        ([b"HTTP/1.1 200 OK\r\nContent-", b"Length: 2\r\n\r\n", b"\n\0"], 1),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\n\0\r\n0\r\n\r\n"], 1),
        ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"], 1),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"], 2),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 400 Too Early\r\n\r\n"], 2),
        ([b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"], 2),
    ],
)
async def test_a_connection_is_kept_if_the_response_allows_it(answer: list[bytes], connections: int) -> None:
    requests: list[int] = []
    bodies = []

    async def answering(stream: trio.SocketStream) -> None:
        opened.append(stream)
        received = b""
        async for data in stream:
            received += data
            head, end, body = received.partition(b"\r\n\r\n")
            if end and len(body) == int(head.rpartition(b"content-length: ")[2]):
                requests.append(len(opened))
                bodies.append(body)
                received = b""
                for piece in answer:
                    await stream.send_all(piece)
                    await trio.testing.wait_all_tasks_blocked()

    opened: list[trio.SocketStream] = []
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, answering, 0)
        collector = Collector(
            CollectorSettings(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"), describe()
        )
        with trio.fail_after(20):
            for number in (1, 2):
                await collector.send([span(number)])
        await collector.close()
        nursery.cancel_scope.cancel()
    assert len(bodies) == 2
    assert requests == [1, connections]


REFUSAL = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message="over the quota\n")
).SerializeToString()
WARNING = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(error_message="use gzip")
).SerializeToString()


@asynccontextmanager
async def answered_by(answer: bytes) -> AsyncIterator[Collector]:
    """A collector that gets this answer to everything."""

    async def answering(stream: trio.SocketStream) -> None:
        async for _ in stream:
            await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, answering, 0)
        port = listeners[0].socket.getsockname()[1]
        collector = Collector(CollectorSettings(f"http://127.0.0.1:{port}/"), describe())
        yield collector
        await collector.close()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: %d\r\n\r\n%b", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"],
    ids=["whole", "chunked"],
)
async def test_spans_that_the_collector_rejects_are_lost_ones(head: bytes) -> None:
    async with answered_by(b"HTTP/1.1 200 OK\r\n" + head % (len(REFUSAL), REFUSAL)) as collector:
        with pytest.raises(ExportError, match=r"it rejected 3 spans: over the quota\\n$") as error:
            await collector.send([span()])
    assert error.value.number == 3


@pytest.mark.parametrize("body", [WARNING, b"{}", b"no protobuf"])
async def test_other_bodies_are_success(body: bytes) -> None:
    async with answered_by(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as collector:
        await collector.send([span()])
