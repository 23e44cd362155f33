"""Clients cannot make the metrics of requests and WebSockets grow without bound."""

from dataclasses import dataclass

import pytest

from echo.telemetry.prometheus import render
from echo.telemetry.series import MOST
from echo.telemetry.snapshot import Snapshot
from echo.telemetry.web import WebMeter, close_code
from tests.support.metrics import Scraped

REQUESTS = "http_server_request_duration_seconds_count"
HANDSHAKES = "echo_websocket_handshakes_total"


@dataclass(eq=False)
class Socket:
    """A WebSocket as the meter sees it."""

    accepted: bool = True
    route: str = "/ws"
    status: int | None = None
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    http_version: str = "1.1"
    seconds: float = 2.0


def meter() -> WebMeter:
    return WebMeter(lambda: (5, 3))


def shown(web: WebMeter) -> Scraped:
    return Scraped(render(Snapshot((), 0.0, 0.0, list(web.metrics()))).decode())


def serve(web: WebMeter, method: str = "GET", route: str = "/", status: int | None = 200, **changes: str) -> None:
    scheme, version = changes.get("scheme", "http"), changes.get("version", "1.1")
    web.request_began(method, scheme)
    web.request_ended(method, scheme, version, route, status, 0.01, complete=status is not None)


def test_made_up_methods_schemes_and_versions_are_one_each() -> None:
    web = meter()
    for number in range(10_000):
        serve(web, f"METHOD{number}", "", 404, scheme=f"scheme{number}", version=f"9.{number}")
    serve(web, "get")
    found = shown(web)
    assert found.by("http_request_method", REQUESTS) == {"_OTHER": 10_001}
    assert found.by("url_scheme", REQUESTS) == {"_OTHER": 10_000, "http": 1}
    assert found.by("network_protocol_version", REQUESTS) == {"_OTHER": 10_000, "1.1": 1}
    assert len(found.samples) < 100


def test_even_routes_without_end_have_an_end() -> None:
    web = meter()
    for number in range(10 * MOST):
        serve(web, route=f"/route/{number}")
    found = shown(web)
    assert found.value(REQUESTS) == 10 * MOST
    assert found.value(REQUESTS, otel_metric_overflow="true") == 9 * MOST
    assert len([sample for sample in found.samples if sample.name == REQUESTS]) == MOST + 1


def test_errors_have_a_type() -> None:
    web = meter()
    for status in (200, 404, 500, 503, None):
        serve(web, status=status)
    assert shown(web).by("error_type", REQUESTS) == {"": 2, "500": 1, "503": 1, "incomplete": 1}


def test_requests_that_are_going_on_are_active() -> None:
    web = meter()
    web.request_began("GET", "https")
    web.request_began("GET", "https")
    web.request_ended("GET", "https", "2", "/", 200, 0.01, complete=True)
    assert shown(web).value("http_server_active_requests", http_request_method="GET", url_scheme="https") == 1


def test_connections_are_those_that_were_counted_elsewhere() -> None:
    found = shown(meter())
    assert found.value("echo_http_connections_total") == 5
    assert found.value("echo_http_active_connections") == 2


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((1000, "1000"), (1015, "1015"), (1016, "_OTHER"), (2999, "_OTHER"), (3000, "3xxx"), (3999, "3xxx")),
        *((4000, "4xxx"), (4999, "4xxx"), (5000, "_OTHER"), (0, "_OTHER"), (None, "_OTHER")),
    ],
)
def test_close_codes_are_few(code: int | None, expected: str) -> None:
    assert close_code(code) == expected


def test_sockets_count_while_they_are_open_and_their_counters_never_go_down() -> None:
    web, socket = meter(), Socket(messages_in=2, bytes_out=10)
    web.socket_began(socket)
    assert shown(web).value("echo_websocket_messages_total", network_io_direction="receive") == 2
    socket.messages_in = 5
    before = shown(web)
    assert before.value(HANDSHAKES, http_response_status_code="101") == before.value("echo_websocket_active") == 1
    socket.status = 1000
    web.socket_ended(socket)
    after = shown(web)
    assert after.value("echo_websocket_active") == 0
    assert after.value(HANDSHAKES) == 1
    assert after.value("echo_websocket_messages_total", network_io_direction="receive") == 5
    assert after.value("echo_websocket_io_bytes_total", network_io_direction="transmit") == 10
    assert after.by("websocket_close_code", "echo_websocket_duration_seconds_count") == {"1000": 1}


def test_a_handshake_over_http2_is_answered_with_200() -> None:
    web, socket = meter(), Socket(http_version="2")
    web.socket_began(socket)
    assert shown(web).by("http_response_status_code", HANDSHAKES) == {"200": 1}


def test_a_handshake_that_was_not_answered_is_none() -> None:
    web, socket = meter(), Socket(accepted=False)
    web.socket_began(socket)
    web.socket_ended(socket)
    assert shown(web).value(HANDSHAKES) == 0


def test_a_refused_handshake_is_counted_by_its_status() -> None:
    web, socket = meter(), Socket(accepted=False, status=403, route="")
    web.socket_began(socket)
    web.socket_ended(socket)
    assert shown(web).by("http_response_status_code", HANDSHAKES) == {"403": 1}
