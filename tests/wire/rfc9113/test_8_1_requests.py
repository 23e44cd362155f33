"""RFC 9113 §8.1, message framing, as a server sees it: trailers, content-length, requests that are not gRPC."""

import pytest

from tests.support.http2_frames import (
    INITIAL_WINDOW_SIZE,
    PREFACE,
    RST_STREAM,
    SETTINGS_ACK,
    WINDOW_UPDATE,
    data,
    settings,
    window_update,
)
from tests.support.reactions import (
    CLOSED,
    GET,
    MALFORMED,
    OPEN,
    POST,
    REQUEST,
    Row,
    each,
    headers,
    is_whole,
    judge,
    row,
)
from tests.support.rfc9113 import Endpoint

TRAILERS = (("x-trailer", "1"),)


def measured(length: str, fields: tuple[tuple[str, str], ...] = REQUEST) -> tuple[tuple[str, str], ...]:
    return (*fields, ("content-length", length))


FRAMING = [
    row("a second head without END_STREAM", MALFORMED, headers(1), before=(OPEN,)),
    row("trailers without END_STREAM", MALFORMED, headers(1, TRAILERS), before=(OPEN,)),
    row("trailers", "nothing", headers(1, TRAILERS, end=True), before=(OPEN, data(1, b"x"))),
    row("trailers without a body", "nothing", headers(1, TRAILERS, end=True), before=(OPEN,)),
    row("trailers without fields", "nothing", headers(1, (), end=True), before=(OPEN,)),
    row(
        "pseudo-headers in trailers", MALFORMED, headers(1, ((":method", "POST"), *TRAILERS), end=True), before=(OPEN,)
    ),
    row("an unknown one", MALFORMED, headers(1, ((":x", "y"),), end=True), before=(OPEN,)),
    row("a request in the place of trailers", MALFORMED, headers(1, end=True), before=(OPEN, data(1, b"x"))),
    row("uppercase in trailers", MALFORMED, headers(1, (("X-T", "1"),), end=True), before=(OPEN,)),
    row("connection in trailers", MALFORMED, headers(1, (("connection", "close"),), end=True), before=(OPEN,)),
    row("DATA after trailers", "stream STREAM_CLOSED", data(1, b"x"), before=(OPEN, headers(1, TRAILERS, end=True))),
]
# §8.1.1
LENGTH = [
    row(
        "as long as announced",
        "nothing",
        data(1, b"12"),
        data(1, b"345", end=True),
        before=(headers(1, measured("5")),),
    ),
    row(
        "padding does not count", "nothing", data(1, b"12345", padding=9, end=True), before=(headers(1, measured("5")),)
    ),
    row("no body, announced", "call", headers(1, measured("0"), end=True)),
    row(
        "trailers end the body",
        "nothing",
        data(1, b"12345"),
        headers(1, TRAILERS, end=True),
        before=(headers(1, measured("5")),),
    ),
    row("shorter", MALFORMED, data(1, b"1234", end=True), before=(headers(1, measured("5")),)),
    row("longer", MALFORMED, data(1, b"123456", end=True), before=(headers(1, measured("5")),)),
    row("longer, though not ended", MALFORMED, data(1, b"123456"), before=(headers(1, measured("5")),)),
    row(
        "longer in the sum", MALFORMED, data(1, b"123"), data(1, b"456", end=True), before=(headers(1, measured("5")),)
    ),
    row("shorter in the sum", MALFORMED, data(1, b"1"), data(1, b"2", end=True), before=(headers(1, measured("5")),)),
    row("shorter, ended by empty DATA", MALFORMED, data(1, end=True), before=(headers(1, measured("5")),)),
    row("shorter, ended by trailers", MALFORMED, headers(1, TRAILERS, end=True), before=(headers(1, measured("5")),)),
    row("no body at all", MALFORMED, headers(1, measured("5"), end=True)),
    row("a body where none is announced", MALFORMED, data(1, b"x"), before=(headers(1, measured("0")),)),
    row("not a number", MALFORMED, headers(1, measured("five"))),
    row("a negative number", MALFORMED, headers(1, measured("-1"))),
    row("a number with a sign", MALFORMED, headers(1, measured("+5"))),
    row("a number in digits that are not ASCII", MALFORMED, headers(1, measured("\u0665"))),
    row("an underscore in the number", MALFORMED, headers(1, measured("1_0"))),
    row("no number", MALFORMED, headers(1, measured(""))),
    row("two that differ", MALFORMED, headers(1, (*measured("5"), ("content-length", "6")))),
    row("two that are alike", f"call | {MALFORMED}", headers(1, (*measured("5"), ("content-length", "5")))),
    row("a number without end", f"call | {MALFORMED}", headers(1, measured("9" * 5_000))),
    row("of a request that is no gRPC", f"{MALFORMED} | HTTP 415", headers(1, measured("5", POST), end=True)),
]


@each(FRAMING)
def test_the_frames_of_a_request(row: Row) -> None:
    judge("server", row)


@each(LENGTH)
def test_content_length_of_a_request(row: Row) -> None:
    judge("server", row)


# Requests that are not gRPC, as conformance suites, browsers and health probes send them.

PLAIN = [
    row("GET", "HTTP 405", headers(1, GET, end=True)),
    row("GET of another path", "HTTP 405", headers(1, (GET[0], GET[1], (":path", "/healthz?x=y"), GET[3]), end=True)),
    row("GET whose end comes as DATA", "HTTP 405", headers(1, GET), data(1, end=True)),
    row("HEAD", "HTTP 405", headers(1, ((":method", "HEAD"), *GET[1:]), end=True)),
    row("OPTIONS *", "HTTP 405", headers(1, ((":method", "OPTIONS"), GET[1], (":path", "*"), GET[3]), end=True)),
    row("a method nobody knows", "HTTP 405", headers(1, ((":method", "BREW"), *GET[1:]), end=True)),
    row("POST", "HTTP 415", headers(1, POST, end=True)),
    row("POST with a body", "HTTP 415", headers(1, POST), data(1, b"x"), data(1, b"y", end=True)),
    row("POST with a body of announced length", "HTTP 415", headers(1, measured("1", POST)), data(1, b"x", end=True)),
    row("POST with trailers", "HTTP 415", headers(1, POST), data(1, b"x"), headers(1, TRAILERS, end=True)),
    row("POST of JSON", "HTTP 415", headers(1, (*POST, ("content-type", "application/json")), end=True)),
    row("POST of what only begins like gRPC", "HTTP 415", headers(1, (*POST, ("content-type", "application/grpcx")))),
    row("POST of gRPC-Web", "HTTP 415", headers(1, (*POST, ("content-type", "application/grpc-web")))),
    row("gRPC with a message format", "call", headers(1, (*POST, ("content-type", "application/grpc+proto")))),
    row("gRPC with a parameter", "call", headers(1, (*POST, ("content-type", "application/grpc; charset=utf-8")))),
    row("DATA after the answer", CLOSED, data(1, b"x"), before=(headers(1, GET, end=True),)),
]


@each(PLAIN)
def test_requests_that_are_not_grpc_are_answered(row: Row) -> None:
    judge("server", row)


@pytest.mark.parametrize("fields", [GET, POST], ids=["GET", "POST"])
def test_the_answer_explains_what_is_wrong(fields: tuple[tuple[str, str], ...]) -> None:
    endpoint = Endpoint("server")
    endpoint.feed(headers(1, fields, end=True))
    assert 8 <= len(endpoint.body(1)) <= 200
    assert endpoint.body(1).isascii()
    (head,) = endpoint.heads[1]
    assert head["content-type"].startswith("text/plain")
    assert int(head.get("content-length", len(endpoint.body(1)))) == len(endpoint.body(1))
    assert endpoint.ended(1)
    assert not any(came.kind == RST_STREAM for came in endpoint.frames)


def test_the_answer_to_head_has_no_body() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(headers(1, ((":method", "HEAD"), *GET[1:]), end=True))
    assert endpoint.body(1) == b""
    assert endpoint.ended(1)


def test_an_unfinished_request_is_answered_and_may_continue_or_stop() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(headers(1, POST))
    assert endpoint.ended(1)
    assert not any(came.kind == RST_STREAM for came in endpoint.frames)  # The rest of it may arrive, and is checked.
    endpoint.feed(data(1, bytes(16_384)) * 3)
    assert [(came.stream, came.error_code) for came in endpoint.frames if came.kind == RST_STREAM] == [(1, 0)]
    is_whole(endpoint)


def test_a_large_body_after_the_answer_is_stopped_or_sent_to_its_end() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(headers(1, POST))
    room = 64 * 1024  # The stream's window.
    for _ in range(100):
        endpoint.feed(*[data(1, bytes(1_024))] * 16)
        assert not endpoint.failed
        if any(came.kind == RST_STREAM and came.error_code == 0 for came in endpoint.frames):
            break
        updates = [came for came in endpoint.frames if came.kind == WINDOW_UPDATE and came.stream == 1]
        room += sum(int.from_bytes(came.payload, "big") for came in updates) - 16 * 1_024
        assert room >= 16 * 1_024, "the client waits for a window forever"
        endpoint.look()
    is_whole(endpoint)


def test_an_answer_that_waits_for_a_window_is_dropped_by_a_reset() -> None:
    endpoint = Endpoint("server", begin=PREFACE + settings((INITIAL_WINDOW_SIZE, 0)) + SETTINGS_ACK)
    endpoint.feed(headers(1, GET, end=True))
    endpoint.feed(b"\0\0\4\3\0\0\0\0\1\0\0\0\x08")  # RST_STREAM, CANCEL
    endpoint.feed(window_update(1, 100))
    assert endpoint.body(1) == b""
    is_whole(endpoint)
