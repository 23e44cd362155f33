"""The small HTTP server for metrics: what it answers, and that no client can occupy it for long."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from echo.telemetry.endpoint import MAX_CONNECTIONS, PATIENCE, serve_metrics
from echo.telemetry.snapshot import Metric, Point, Snapshot
from tests.support.quiet_clock import QuietClock

SNAPSHOT = Snapshot((), 0.0, 0.0, [Metric("up", "", "Up.", "gauge", [Point((), 1)])])


async def collect() -> Snapshot:
    return SNAPSHOT


@asynccontextmanager
async def endpoint(gather: Callable[[], Awaitable[Snapshot]] = collect) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_metrics, "127.0.0.1", 0, gather)
        nursery.cancel_scope.cancel()


async def exchange(port: int, data: bytes) -> tuple[str, dict[str, str], bytes]:
    """Send bytes, read until the connection is closed; the status line, the headers and the body."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(data)
        head, _, body = b"".join([piece async for piece in stream]).partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return status, dict(field.split(": ", 1) for field in fields), body


def request(target: str = "/metrics", method: str = "GET", *headers: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


async def test_metrics_are_shown() -> None:
    async with endpoint() as port:
        status, headers, body = await exchange(port, request())
    assert status == "HTTP/1.1 200 OK"
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert headers["connection"] == "close"
    assert b"\nup 1\n" in body


async def test_a_query_is_no_other_page() -> None:
    async with endpoint() as port:
        assert (await exchange(port, request("/metrics?x=1")))[0] == "HTTP/1.1 200 OK"


async def test_head_has_the_head_alone() -> None:
    async with endpoint() as port:
        status, headers, body = await exchange(port, request(method="HEAD"))
        whole = (await exchange(port, request()))[2]
    assert (status, int(headers["content-length"]), body) == ("HTTP/1.1 200 OK", len(whole), b"")


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        ("application/openmetrics-text", True),
        ("text/plain, application/openmetrics-text", True),
        ("text/plain;q=0.9, application/openmetrics-text;q=0.1", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=rubbish", False),
        ("*/*", False),
    ],
)
async def test_openmetrics_is_for_those_who_ask(accept: str, openmetrics: bool) -> None:
    async with endpoint() as port:
        _, headers, body = await exchange(port, request("/metrics", "GET", f"Accept: {accept}"))
    assert headers["content-type"].startswith("application/openmetrics-text") == openmetrics
    assert body.endswith(b"# EOF\n") == openmetrics


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/"), 404),
        (request("/metrics/x"), 404),
        (request("/metrics", "POST", "Content-Length: 3") + b"abc", 405),
        (request(method="DELETE"), 405),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404),
        (request("/metrics", "GET", "X: " + "a" * 100_000), 431),
    ],
    ids=["root", "below", "post", "delete", "tls", "no host", "http2", "huge head"],
)
async def test_other_requests_are_refused(data: bytes, status: int) -> None:
    async with endpoint() as port:
        line, _, _ = await exchange(port, data)
        assert int(line.split()[1]) == status
        assert (await exchange(port, request()))[0] == "HTTP/1.1 200 OK"


async def test_a_failure_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> Snapshot:
        raise RuntimeError("no metrics today")

    with caplog.at_level(logging.ERROR):
        async with endpoint(fail) as port:
            status, _, body = await exchange(port, request())
    assert status == "HTTP/1.1 500 Internal Server Error"
    assert b"no metrics today" not in body
    assert "no metrics today" in caplog.text


async def test_connections_are_bounded_and_silent_ones_are_closed(quiet_clock: QuietClock) -> None:
    async with endpoint() as port:
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        for stream in silent:
            await stream.send_all(b"GET /metr")
        async with await trio.open_tcp_stream("127.0.0.1", port) as surplus:
            began = trio.current_time()
            assert await surplus.receive_some() == b""
            assert trio.current_time() - began < PATIENCE
        for stream in silent:
            assert await stream.receive_some() == b""
            await stream.aclose()
        assert trio.current_time() - began <= PATIENCE + 1
        assert (await exchange(port, request()))[0] == "HTTP/1.1 200 OK"


async def test_a_client_that_reads_nothing_is_left(quiet_clock: QuietClock) -> None:
    points = [Point((("n", str(number)), ("text", "x" * 1000)), number) for number in range(5_000)]

    async def much() -> Snapshot:
        return Snapshot((), 0.0, 0.0, [Metric("m", "", "M.", "gauge", points)])

    async with endpoint(much) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(request())
        began = trio.current_time()
        await trio.sleep(PATIENCE + 0.5)
        with pytest.raises(trio.BrokenResourceError):
            while await stream.receive_some(65_536):
                pass
            raise trio.BrokenResourceError  # It ended early, in whatever way.
        assert trio.current_time() - began < 2 * PATIENCE
        await stream.aclose()


async def test_a_taken_port_is_an_error_at_once() -> None:
    async with endpoint() as port:
        with pytest.raises(OSError, match="in use"):
            await serve_metrics("127.0.0.1", port, collect)
