"""The metrics of a gateway: real processes, scraped after requests and WebSockets of each kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from echo.gateway.environment import EnvironmentApp
from tests.support.gateway import http_get
from tests.support.metrics import GET_REPLY, STREAMING, scrape, scraped_until
from tests.support.process import environment, running
from tests.support.websocket import Closed, Rejected, open_websocket

UP = [
    *("up", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0"),
    *("--http-bind", "127.0.0.1", "--http-port", "0", "--metrics-bind", "127.0.0.1", "--metrics-port", "0"),
]
REQUESTS = "http_server_request_duration_seconds_count"
HANDSHAKES = "echo_websocket_handshakes_total"
MESSAGES = "echo_websocket_messages_total"
CLOSED = "echo_websocket_duration_seconds_count"
CALLS = "grpc_client_call_duration_seconds_count"
CHAT = "/ws/stream/bidirectional"
HELLO = '{"stream_id":"a","message":"hi"}'


@asynccontextmanager
async def up() -> AsyncIterator[tuple[int, int]]:
    """Server and gateway in one process; the gateway's port and that of the metrics."""
    async with running(*UP) as echo:
        yield await echo.http_port(), await echo.metrics_port()


async def test_requests_are_counted_by_route_and_status() -> None:
    async with up() as (http, port):
        for key in ("a", "b/c", "d"):
            assert (await http_get(http, f"/grpc/{key}")).status == 200
        assert (await http_get(http, "/grpc/x?status=5:gone")).status == 404
        assert (await http_get(http, "/healthz")).status == 200
        assert (await http_get(http, "/healthz", method="DELETE")).status == 405
        for number in range(20):
            assert (await http_get(http, f"/made-up/{number}", method=f"MADEUP{number}")).status in {404, 405}
        path = "/com.gopay.echo.Server/GetReply?connect=v1&encoding=json&message=%7B%7D"
        assert (await http_get(http, path)).status == 200
        assert (await http_get(http, "/grpc/x?status=14")).status == 503
        found = await scrape(port)
    assert found.by("http_route", REQUESTS) == {
        "/grpc/{key}": 5,
        "/healthz": 1,
        "/{service}/{method}": 1,
        "": 1 + 20,
    }
    assert found.by("http_response_status_code", REQUESTS, http_route="/grpc/{key}") == {"200": 3, "404": 1, "503": 1}
    assert found.by("error_type", REQUESTS, http_response_status_code="503") == {"503": 1}
    assert found.by("http_request_method", REQUESTS, http_response_status_code="404") == {"GET": 1, "_OTHER": 20}
    assert found.by("network_protocol_version", REQUESTS, url_scheme="http") == {"1.1": found.value(REQUESTS)}
    assert found.value("http_server_active_requests") == 0
    assert found.value("echo_http_connections_total") == found.value(REQUESTS)
    assert found.by("grpc_status", CALLS, grpc_method=GET_REPLY) == {"OK": 4, "NOT_FOUND": 1, "UNAVAILABLE": 1}
    assert found.value("grpc_server_call_started_total", grpc_method=GET_REPLY) == 6


async def test_websockets_are_counted_while_they_are_open_and_by_how_they_close() -> None:
    async with up() as (http, port):
        async with open_websocket(http, CHAT) as socket, open_websocket(http, CHAT) as other:
            for _ in range(3):
                await socket.send(HELLO)
                assert '"response":"from server: hi"' in str(await socket.receive())
            found = await scraped_until(port, lambda now: now.value("echo_websocket_active") == 2)
            assert found.by("network_io_direction", MESSAGES, http_route=CHAT) == {"receive": 3, "transmit": 3}
            assert found.value("echo_websocket_io_bytes_total", network_io_direction="receive") == 3 * len(HELLO)
            assert found.value("echo_http_active_connections") == 2
            assert found.value("echo_grpc_client_active_calls") == 2
            await socket.send("")
            closed = await socket.receive()
            assert isinstance(closed, Closed)
            assert closed.code == 1000
            await other.close(4321)
            found = await scraped_until(port, lambda now: now.value(CLOSED) == 2)
        assert found.by("websocket_close_code", CLOSED, http_route=CHAT) == {"1000": 1, "4xxx": 1}
        assert found.value("echo_websocket_active") == 0
        assert found.by("network_io_direction", MESSAGES, http_route=CHAT) == {"receive": 4, "transmit": 3}
        method = f"{STREAMING}/BidirectionalStream"
        found = await scraped_until(port, lambda now: now.value(CALLS) == 2)
        assert found.by("grpc_status", CALLS, grpc_method=method) == {"OK": 1, "CANCELLED": 1}


async def test_handshakes_that_are_refused_are_no_websockets() -> None:
    async with up() as (http, port):
        with pytest.raises(Rejected):
            async with open_websocket(http, CHAT, [("Origin", "https://elsewhere.test")]):
                pass
        for number in range(5):
            with pytest.raises(Rejected):
                async with open_websocket(http, f"/ws/made-up/{number}"):
                    pass
        async with open_websocket(http, CHAT):
            found = await scraped_until(port, lambda now: now.value(HANDSHAKES) == 7)
    assert found.by("http_response_status_code", HANDSHAKES, http_route=CHAT) == {"101": 1, "403": 1}
    assert found.by("http_response_status_code", HANDSHAKES) == {"101": 1, "403": 1, "404": 5}
    assert found.value(CLOSED) == 0


async def test_a_gateway_without_its_server_shows_failed_calls() -> None:
    gateway = ["gateway", "--http-bind", "127.0.0.1", "--http-port", "0", "--metrics-bind", "127.0.0.1"]
    async with running(*gateway, GRPC_SERVER_HOST="127.0.0.1", GRPC_SERVER_PORT="1", METRICS_PORT="0") as echo:
        http, port = await echo.http_port(), await echo.metrics_port()
        assert (await http_get(http, "/grpc/a")).status == 503
        assert (await http_get(http, "/readyz")).status == 503
        # A request is counted once its response has been sent, which a client may see first.
        found = await scraped_until(port, lambda now: sum(now.by("error_type", REQUESTS).values()) == 2)
    target = {"grpc_target": "dns:///127.0.0.1:1"}
    assert found.by("grpc_status", CALLS, **target) == {"UNAVAILABLE": 2}
    assert found.value("echo_grpc_client_failed_connections_total") >= 1
    assert found.value("echo_grpc_client_connections_total") == 0
    assert found.by("error_type", REQUESTS) == {"503": 2}
    assert not [sample for sample in found.samples if "grpc_server" in sample.name]


async def test_a_client_that_leaves_in_the_middle_is_incomplete() -> None:
    async with up() as (http, port):
        async with await trio.open_tcp_stream("127.0.0.1", http) as stream:
            await stream.send_all(b"GET /grpc/a?delay=30s HTTP/1.1\r\nHost: x\r\n\r\n")
            await scraped_until(port, lambda now: now.value("http_server_active_requests", http_request_method="GET"))
        found = await scraped_until(port, lambda now: now.value(REQUESTS))
    assert found.by("error_type", REQUESTS, http_route="/grpc/{key}") == {"incomplete": 1}
    assert found.value("http_server_active_requests") == 0


def test_plain_hypercorn_says_that_it_shows_no_metrics(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in environment(METRICS_PORT="9090").items():
        monkeypatch.setenv(name, value)
    assert EnvironmentApp().gateway.web is None
    assert "METRICS_PORT is ignored" in caplog.text
