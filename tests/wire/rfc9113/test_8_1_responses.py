"""RFC 9113 §8.1, message framing, as a client sees it: heads, informational heads, trailers, content-length."""

import pytest

from tests.support.http2_frames import data, rst_stream
from tests.support.reactions import (
    CLOSED,
    MALFORMED,
    RESPONSE,
    TRAILERS,
    Row,
    each,
    headers,
    is_whole,
    judge,
    opened,
    row,
)
from tests.support.rfc9113 import Endpoint, Part

OPENED = (opened(),)
HEAD = headers(1, RESPONSE)
HEADED = (opened(), HEAD)
ALONE = (*RESPONSE, *TRAILERS)
# Both sides have ended the stream: RST_STREAM may be sent on it for the error, but need not be.
ENDED_BADLY = f"{MALFORMED} | status INTERNAL | status UNKNOWN | told PROTOCOL_ERROR"
LATE = f"nothing | {CLOSED}"
NO_STATUS = "status UNKNOWN | status INTERNAL"


def informational(status: int = 103, *, end: bool = False) -> Part:
    return headers(1, ((":status", str(status)), ("link", "</style.css>")), end=end)


def measured(length: str) -> Part:
    return headers(1, (*RESPONSE, ("content-length", length)))


FRAMING = [
    row("a head", "head", HEAD, before=OPENED),
    row("trailers", "status OK", headers(1, TRAILERS, end=True), before=HEADED),
    row("trailers alone", "status OK", headers(1, ALONE, end=True), before=OPENED),
    row(
        "an error in trailers alone",
        "status NOT_FOUND",
        headers(1, (*RESPONSE, ("grpc-status", "5")), end=True),
        before=OPENED,
    ),
    row("END_STREAM on DATA", NO_STATUS, data(1, b"x", end=True), before=HEADED),
    row("END_STREAM on empty DATA", NO_STATUS, data(1, end=True), before=HEADED),
    row("a head that ends everything", NO_STATUS, headers(1, RESPONSE, end=True), before=OPENED),
    row("trailers that say nothing", NO_STATUS, headers(1, (), end=True), before=HEADED),
    row("DATA before a head", MALFORMED, data(1, b"x"), before=OPENED),
    row("DATA before a head, and the end", ENDED_BADLY, data(1, b"x", end=True), before=OPENED),
    row("trailers without END_STREAM", MALFORMED, headers(1, TRAILERS), before=HEADED),
    row("trailers without END_STREAM after DATA", MALFORMED, data(1, b"x"), headers(1, TRAILERS), before=HEADED),
    row("a second head", MALFORMED, HEAD, before=HEADED),
    row(
        "pseudo-headers in trailers", ENDED_BADLY, headers(1, ((":status", "200"), *TRAILERS), end=True), before=HEADED
    ),
    row("uppercase in trailers", ENDED_BADLY, headers(1, (*TRAILERS, ("X", "y")), end=True), before=HEADED),
    row("connection in trailers", ENDED_BADLY, headers(1, (*TRAILERS, ("connection", "x")), end=True), before=HEADED),
    row("HEADERS after the end", LATE, HEAD, before=(opened(end=True), headers(1, ALONE, end=True))),
    row("DATA after the end", LATE, data(1, b"x"), before=(opened(end=True), headers(1, ALONE, end=True))),
    row(
        "everything after the end in one go",
        f"{CLOSED} | status OK",
        headers(1, ALONE, end=True),
        HEAD,
        before=(opened(end=True),),
    ),
    row("complete before we have ended", "status OK", headers(1, ALONE, end=True), rst_stream(1, 0), before=OPENED),
]
INFORMATIONAL = [
    row("is passed over", "nothing", informational(), before=OPENED),
    row("of 100", "nothing", informational(100), before=OPENED),
    row("of 199", "nothing", informational(199), before=OPENED),
    row("many of them", "head", *[informational()] * 20, HEAD, before=OPENED),
    row("before trailers alone", "status OK", informational(), headers(1, ALONE, end=True), before=OPENED),
    row(
        "101 is not for HTTP/2",
        f"{MALFORMED} | nothing | status INTERNAL | status UNKNOWN",
        informational(101),
        before=OPENED,
    ),
    row("with END_STREAM", ENDED_BADLY, informational(end=True), before=OPENED),
    row("with END_STREAM after another", ENDED_BADLY, informational(), informational(end=True), before=OPENED),
    row("after the head", MALFORMED, informational(), before=HEADED),
    row("and then DATA", MALFORMED, informational(), data(1, b"x"), before=OPENED),
    row("malformed", MALFORMED, headers(1, ((":status", "103"), ("X", "y"))), before=OPENED),
]
LENGTH = [
    row(
        "as long as announced",
        "status OK",
        data(1, b"12345"),
        headers(1, TRAILERS, end=True),
        before=(opened(), measured("5")),
    ),
    row("padding does not count", "nothing", data(1, b"12345", padding=9), before=(opened(), measured("5"))),
    row("shorter", ENDED_BADLY, data(1, b"1234"), headers(1, TRAILERS, end=True), before=(opened(), measured("5"))),
    row("shorter, ended by DATA", ENDED_BADLY, data(1, b"1234", end=True), before=(opened(), measured("5"))),
    row("longer", MALFORMED, data(1, b"123456"), before=(opened(), measured("5"))),
    row("longer in the sum", MALFORMED, data(1, b"123"), data(1, b"456"), before=(opened(), measured("5"))),
    row("not a number", MALFORMED, measured("five"), before=OPENED),
    row("a negative number", MALFORMED, measured("-5"), before=OPENED),
    row(
        "two that differ",
        MALFORMED,
        headers(1, (*RESPONSE, ("content-length", "1"), ("content-length", "2"))),
        before=OPENED,
    ),
    row("0, of trailers alone", "status OK", headers(1, (*ALONE, ("content-length", "0")), end=True), before=OPENED),
    row("5, of trailers alone", ENDED_BADLY, headers(1, (*ALONE, ("content-length", "5")), end=True), before=OPENED),
]


@each(FRAMING)
def test_the_frames_of_a_response(row: Row) -> None:
    judge("client", row)


@each(INFORMATIONAL)
def test_an_informational_head(row: Row) -> None:
    judge("client", row)


@each(LENGTH)
def test_content_length_of_a_response(row: Row) -> None:
    judge("client", row)


BAD: dict[str, Part] = {
    "a malformed head": headers(1, ((":status", "200"), ("X", "y"))),
    "a head without a status": headers(1, RESPONSE[1:]),
    "a malformed head that ends": headers(1, ((":status", "200"), ("X", "y")), end=True),
    "DATA before a head": data(1, b"x"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_response_ends_its_call_and_no_other(bad: str) -> None:
    endpoint = Endpoint("client")
    for _ in range(3):
        endpoint.open()
    endpoint.feed(headers(3, RESPONSE), headers(5, RESPONSE), BAD[bad])
    assert endpoint.open_calls == {3, 5}
    endpoint.look()
    endpoint.feed(data(3, b"x"), headers(3, TRAILERS, end=True))
    assert endpoint.reaction(3) == "status OK"
    is_whole(endpoint)
