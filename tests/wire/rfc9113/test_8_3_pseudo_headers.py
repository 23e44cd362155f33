"""RFC 9113 §8.3 to §8.5, pseudo-header fields of requests and responses, and CONNECT."""

from tests.support.http2_frames import data
from tests.support.reactions import (
    GET,
    MALFORMED,
    POST,
    REQUEST,
    RESPONSE,
    TRAILERS,
    Row,
    each,
    headers,
    judge,
    opened,
    row,
    without,
)
from tests.support.rfc9113 import Endpoint, Part

ENDED_BADLY = f"{MALFORMED} | status INTERNAL | status UNKNOWN | told PROTOCOL_ERROR"
METHOD, SCHEME, PATH, AUTHORITY = REQUEST[:4]
REST = REQUEST[4:]


def request(*pseudo: tuple[str, str], end: bool = False) -> Part:
    return headers(1, (*pseudo, *REST), end=end)


def but(name: str, value: str) -> Part:
    """The usual request, but for one pseudo-header field."""
    return request(*((key, value if key == name else usual) for key, usual in REQUEST[:4]))


SERVER = [
    row("in any order", "call", request(AUTHORITY, PATH, SCHEME, METHOD)),
    row("no method", MALFORMED, request(SCHEME, PATH, AUTHORITY)),
    row("no scheme", MALFORMED, request(METHOD, PATH, AUTHORITY)),
    row("no path", MALFORMED, request(METHOD, SCHEME, AUTHORITY)),
    row("no pseudo-headers", MALFORMED, request()),
    row("no fields at all", MALFORMED, headers(1, ())),
    row("no path, END_STREAM", MALFORMED, request(METHOD, SCHEME, AUTHORITY, end=True)),
    row("no method of what is no gRPC", MALFORMED, headers(1, GET[1:], end=True)),
    row("no scheme of what is no gRPC", MALFORMED, headers(1, without(GET, ":scheme"), end=True)),
    row("no path of what is no gRPC", MALFORMED, headers(1, without(POST, ":path"), end=True)),
    row("no authority", "call", request(METHOD, SCHEME, PATH)),
    row("an empty authority", f"call | {MALFORMED}", but(":authority", "")),
    row("an empty path", MALFORMED, but(":path", "")),
    row("an empty method", f"{MALFORMED} | HTTP 405", but(":method", "")),
    row("an empty scheme", f"{MALFORMED} | call", but(":scheme", "")),
    row("the scheme https", "call", but(":scheme", "https")),
    row("a scheme that nobody knows", f"{MALFORMED} | call", but(":scheme", "gopher")),
    row("a path without a slash", f"{MALFORMED} | call | grpc-status 12", but(":path", "s/m")),
    row("the method twice", MALFORMED, request(METHOD, *REQUEST[:4])),
    row("the scheme twice", MALFORMED, request(*REQUEST[:4], SCHEME)),
    row("the path twice", MALFORMED, request(*REQUEST[:4], PATH)),
    row("the path twice, unlike", MALFORMED, request(*REQUEST[:4], (":path", "/t/n"))),
    row("the authority twice", MALFORMED, request(*REQUEST[:4], AUTHORITY)),
    row("one that nobody knows", MALFORMED, request(*REQUEST[:4], (":test", "x"))),
    row("one without a name", MALFORMED, request(*REQUEST[:4], (":", "x"))),
    row("one in uppercase", MALFORMED, request(*REQUEST[:3], (":Authority", "test"))),
    row("one for responses", MALFORMED, request(*REQUEST[:4], (":status", "200"))),
    row("one after a field", MALFORMED, headers(1, (METHOD, SCHEME, AUTHORITY, *REST, PATH))),
    row("the authority after a field", MALFORMED, headers(1, (METHOD, SCHEME, PATH, *REST, AUTHORITY))),
    row(
        "one for an extended CONNECT that we do not offer", MALFORMED, request(*REQUEST[:4], (":protocol", "websocket"))
    ),
    row("a malformed request with a body", MALFORMED, request(METHOD, SCHEME), data(1, b"x"), data(1, b"y", end=True)),
    # §8.5
    row(
        "CONNECT",
        f"HTTP 405 | HTTP 501 | {MALFORMED} | stream CONNECT_ERROR",
        headers(1, ((":method", "CONNECT"), AUTHORITY)),
    ),
    row("CONNECT with scheme and path", f"{MALFORMED} | HTTP 405", headers(1, ((":method", "CONNECT"), *GET[1:]))),
    row("CONNECT without an authority", f"{MALFORMED} | HTTP 405", headers(1, ((":method", "CONNECT"),))),
    row(
        "an extended CONNECT",
        f"{MALFORMED} | HTTP 405 | HTTP 501",
        headers(1, ((":method", "CONNECT"), *GET[1:], (":protocol", "websocket"))),
    ),
]


def status(*values: str) -> Part:
    return headers(1, (*((":status", value) for value in values), *RESPONSE[1:]))


UNREADABLE = f"{MALFORMED} | status UNKNOWN | status INTERNAL"
CLIENT = [
    row("no status", MALFORMED, status(), before=(opened(),)),
    row("no fields at all", MALFORMED, headers(1, ()), before=(opened(),)),
    row("trailers in the place of a head", ENDED_BADLY, headers(1, TRAILERS, end=True), before=(opened(),)),
    row("two statuses", MALFORMED, status("200", "200"), before=(opened(),)),
    row("two statuses, unlike", MALFORMED, status("200", "404"), before=(opened(),)),
    row("an empty status", UNREADABLE, status(""), before=(opened(),)),
    row("a status of letters", UNREADABLE, status("abc"), before=(opened(),)),
    row("a status of two digits", UNREADABLE, status("20"), before=(opened(),)),
    row("a status of four digits", UNREADABLE, status("2000"), before=(opened(),)),
    row("a status with a sign", UNREADABLE, status("+20"), before=(opened(),)),
    row("a status in digits that are not ASCII", UNREADABLE, status("\u0662\u0660\u0660"), before=(opened(),)),
    row("a status of an error", "status UNAVAILABLE", status("503"), before=(opened(),)),
    row("the method", MALFORMED, headers(1, (*RESPONSE[:1], METHOD, *RESPONSE[1:])), before=(opened(),)),
    row("the path", MALFORMED, headers(1, (*RESPONSE[:1], PATH, *RESPONSE[1:])), before=(opened(),)),
    row("one that nobody knows", MALFORMED, headers(1, (*RESPONSE[:1], (":x", "y"))), before=(opened(),)),
    row("the status after a field", MALFORMED, headers(1, RESPONSE[::-1]), before=(opened(),)),
    row(
        "the status in trailers",
        ENDED_BADLY,
        headers(1, ((":status", "200"), *TRAILERS), end=True),
        before=(opened(), headers(1, RESPONSE)),
    ),
    row(
        "the path in trailers",
        ENDED_BADLY,
        headers(1, (PATH, *TRAILERS), end=True),
        before=(opened(), headers(1, RESPONSE)),
    ),
]


@each(SERVER)
def test_pseudo_headers_of_a_request(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_pseudo_headers_of_a_response(row: Row) -> None:
    judge("client", row)


def test_the_authority_counts_and_a_host_unlike_it_is_dropped() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(headers(1, (*REQUEST, ("host", "another.test"))))
    assert endpoint.reaction(1) == "call"
    (call,) = endpoint.requests()
    assert call.authority == "test"
    assert "host" not in call.metadata


def test_a_request_with_only_a_host_is_a_call() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(headers(1, (*without(REQUEST, ":authority"), ("host", "test"))))
    assert endpoint.reaction(1) == "call"
    assert endpoint.requests()[0].authority in ("test", "")


def test_a_request_without_any_authority_is_a_call() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(headers(1, without(REQUEST, ":authority")))
    assert endpoint.reaction(1) == "call"
    assert endpoint.requests()[0].authority == ""
