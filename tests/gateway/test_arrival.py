"""The gateway's answer to a plain request for a WebSocket route."""

import json
from collections.abc import Collection
from typing import Any, cast

import pytest
import trio
from hypercorn.typing import HTTPScope
from hypothesis import given
from hypothesis import strategies as st

from echo.gateway.arrival import TOLD, describe_arrival
from tests.support.gateway import encoded, running_gateway
from tests.support.serving import LOOPBACK

TARGET = "/ws/stream/bidirectional"


def scope_of(*headers: tuple[str, str], version: str = "1.1", scheme: str = "http") -> HTTPScope:
    found = {"http_version": version, "method": "GET", "scheme": scheme, "raw_path": TARGET.encode()}
    return cast("HTTPScope", found | {"headers": encoded(*headers)})


def told(scope: HTTPScope, allowed: Collection[str] = ()) -> dict[str, Any]:
    body = json.loads(describe_arrival(scope, allowed))
    assert list(body) == ["code", "status", "message", "arrived"]
    assert (body["code"], body["status"]) == (9, "FAILED_PRECONDITION")
    arrived = body["arrived"]
    assert isinstance(arrived, dict)
    return arrived | {"message": body["message"]}


def test_a_plain_request_is_told_as_it_came() -> None:
    scope = scope_of(("host", "echo.test"), ("via", "1.1 a"), ("via", "1.1 b"), ("cookie", "secret"), version="1.0")
    assert told(scope) == {
        "http_version": "1.0",
        "method": "GET",
        "target": TARGET,
        "host": "echo.test",
        "origin": None,
        "own_origin": "http://echo.test",
        "origin_allowed": True,  # A client that sends no origin is not a browser.
        "headers": {"via": "1.1 a, 1.1 b"},
        "message": "this route takes WebSockets",
    }


@pytest.mark.parametrize(
    ("origin", "forwarded", "allowed", "own", "expected"),
    [
        ("http://echo.test", None, (), "http://echo.test", True),
        ("https://echo.test", None, (), "http://echo.test", False),
        ("https://echo.test", "https", (), "https://echo.test", True),
        ("http://front.test", None, (), "http://echo.test", False),
        ("http://front.test", None, ("http://front.test",), "http://echo.test", True),
        ("null", None, (), "http://echo.test", False),
        ("null", None, ("*",), "http://echo.test", True),
        ("http://front.test", "nonsense", (), None, False),
    ],
)
@pytest.mark.parametrize("header", ["origin", "x-page-origin"])
def test_a_page_learns_whether_its_origin_would_be_allowed(
    header: str, origin: str, forwarded: str | None, allowed: Collection[str], own: str | None, expected: bool
) -> None:
    headers = [("host", "echo.test"), (header, origin)]
    if forwarded:
        headers.append(("x-forwarded-proto", forwarded))
    arrived = told(scope_of(*headers), allowed)
    assert (arrived["origin"], arrived["own_origin"], arrived["origin_allowed"]) == (origin, own, expected)


def test_the_browser_s_own_word_on_the_origin_goes_before_the_page_s() -> None:
    headers = (("host", "echo.test"), ("origin", "http://evil.test"), ("x-page-origin", "http://echo.test"))
    arrived = told(scope_of(*headers))
    assert (arrived["origin"], arrived["origin_allowed"]) == ("http://evil.test", False)


def test_a_handshake_that_lost_its_upgrade_header_is_recognized() -> None:
    key = ("sec-websocket-key", "x")
    assert "removed the Upgrade header" in told(scope_of(("host", "echo.test"), key))["message"]
    assert "removed" not in told(scope_of(("host", "echo.test"), key, ("upgrade", "h2c")))["message"]


@given(st.lists(st.tuples(st.sampled_from(["origin", "x-page-origin", "host", *TOLD]), st.binary(max_size=20))))
def test_no_header_is_an_error(headers: list[tuple[str, bytes]]) -> None:
    assert told(scope_of(*((name, value.decode("latin-1")) for name, value in headers)))


@pytest.mark.usefixtures("nothing_left")
async def test_a_handshake_without_its_upgrade_header_is_told_so_by_the_gateway() -> None:
    lines = [
        f"GET {TARGET} HTTP/1.1",
        "Host: echo.test",
        "Connection: close",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    lines += ["Sec-WebSocket-Version: 13", "Origin: http://front.test", "", ""]
    async with (
        running_gateway(HTTP_ALLOWED_ORIGINS="http://front.test") as gateway,
        await trio.open_tcp_stream(LOOPBACK, gateway.port) as stream,
    ):
        await stream.send_all("\r\n".join(lines).encode())
        head, _, body = b"".join([data async for data in stream]).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 426 ")
    found = json.loads(body)
    assert found["message"].endswith("removed the Upgrade header of this handshake")
    assert found["arrived"]["origin_allowed"] is True
    assert found["arrived"]["headers"]["sec-websocket-version"] == "13"
