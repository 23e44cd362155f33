"""The messages for calls that end without a gRPC status: what happened, and who caused it if that is known.

`tests.e2e.test_client_rows` checks the statuses; here are the texts that people read.
"""

import pytest

from echo.printable import LIMIT
from echo.wire import describe_goaway
from echo.wire.events import GoAwayReceived
from echo.wire.frames import ErrorCode
from echo.wire.status import Status
from tests.support.http2_frames import data, goaway, rst_stream
from tests.support.reactions import RESPONSE, TRAILERS, headers, is_whole
from tests.support.rfc9113 import Endpoint, Part

HOP = "the server or a proxy on the way"
PLAIN = ("content-type", "text/plain; charset=utf-8")
BAD_GATEWAY = f"{HOP} answered HTTP 502 (Bad Gateway) instead of gRPC"


def head(status: str, *fields: tuple[str, str], end: bool = False) -> Part:
    return headers(1, [(":status", status), *fields], end=end)


def ended(*parts: Part) -> tuple[Status, str | None]:
    """How a call ends that is answered with these frames at once; another call is as good as before."""
    endpoint = Endpoint("client")
    endpoint.open()
    endpoint.look()
    endpoint.feed(*parts)
    (trailers,) = endpoint.ends()
    is_whole(endpoint)
    return trailers.status, trailers.message


@pytest.mark.parametrize(
    ("http_status", "status", "answered"),
    [
        ("502", Status.UNAVAILABLE, "HTTP 502 (Bad Gateway)"),
        ("404", Status.UNIMPLEMENTED, "HTTP 404 (Not Found)"),
        ("505", Status.UNKNOWN, "HTTP 505 (HTTP Version Not Supported)"),
        ("302", Status.UNKNOWN, "HTTP 302 (Found)"),
        ("499", Status.UNKNOWN, "HTTP 499"),
        ("000", Status.UNKNOWN, "the invalid HTTP status 000"),
        ("099", Status.UNKNOWN, "the invalid HTTP status 099"),
        ("009", Status.UNKNOWN, "the invalid HTTP status 009"),
        ("600", Status.UNKNOWN, "the invalid HTTP status 600"),
        ("999", Status.UNKNOWN, "the invalid HTTP status 999"),
    ],
)
def test_an_http_status_is_reported(http_status: str, status: Status, answered: str) -> None:
    assert ended(head(http_status, end=True)) == (status, f"{HOP} answered {answered} instead of gRPC")


def test_a_content_type_other_than_grpc_is_quoted() -> None:
    message = f"{HOP} answered with content-type 'text/html\\x1b' instead of gRPC"
    assert ended(head("200", ("content-type", "text/html\x1b"))) == (Status.UNKNOWN, message)


@pytest.mark.parametrize(
    ("body", "excerpt"),
    [
        (b"no healthy upstream", "no healthy upstream"),
        (b" two\r\n\tlines \n", "two lines"),
        (b"\x1b[31mred\x07 \xff \xe2\x80\xae", "\\x1b[31mred\\x07 \ufffd \\u202e"),
        (b"a" * 10_000, "a" * (LIMIT - 1) + "…"),
    ],
)
@pytest.mark.parametrize("ending", ["DATA", "an end of its own", "trailers", "RST_STREAM", "nothing yet"])
def test_the_beginning_of_a_text_that_arrives_with_the_head_is_quoted(body: bytes, excerpt: str, ending: str) -> None:
    rest: dict[str, list[Part]] = {
        "DATA": [],
        "an end of its own": [data(1, end=True)],
        "trailers": [headers(1, [("x", "y")], end=True)],
        "RST_STREAM": [rst_stream(1, ErrorCode.NO_ERROR)],
        "nothing yet": [],
    }
    answer = ended(head("502", PLAIN), data(1, body, end=ending == "DATA"), *rest[ending])
    assert answer == (Status.UNAVAILABLE, f"{BAD_GATEWAY}: {excerpt}")


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("content-type", "text/html")],
        [("content-type", "image/png")],
        [PLAIN, ("content-encoding", "gzip")],
    ],
)
def test_a_body_that_is_not_plain_text_is_not_quoted(fields: list[tuple[str, str]]) -> None:
    assert ended(head("502", *fields), data(1, b"<html>", end=True)) == (Status.UNAVAILABLE, BAD_GATEWAY)


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_a_text_without_words_is_not_quoted(body: bytes) -> None:
    assert ended(head("502", PLAIN), data(1, body, end=True)) == (Status.UNAVAILABLE, BAD_GATEWAY)


def test_grpc_message_in_the_head_takes_precedence_over_the_body() -> None:
    said = ("grpc-message", "100%25 of%0Athe %1B[1mtruth")
    for end in (True, False):
        answer = ended(head("502", PLAIN, said), data(1, b"less", end=end))
        assert answer == (Status.UNAVAILABLE, f"{BAD_GATEWAY}: 100% of the \\x1b[1mtruth")


def test_a_text_that_arrives_later_is_not_waited_for() -> None:
    endpoint = Endpoint("client")
    endpoint.open()
    endpoint.look()
    endpoint.feed(head("502", PLAIN))
    assert [trailers.message for trailers in endpoint.ends()] == [BAD_GATEWAY]
    endpoint.feed(data(1, b"late", end=True))
    assert len(endpoint.ends()) == 1
    is_whole(endpoint)


def test_a_text_is_reported_before_the_connection_error_after_it() -> None:
    endpoint = Endpoint("client")
    endpoint.open()
    endpoint.feed(head("502", PLAIN), data(1, b"closing"), goaway(0), b"\0\0\1\6\0\0\0\0\0x")
    assert [trailers.message for trailers in endpoint.ends()] == [f"{BAD_GATEWAY}: closing"]
    assert endpoint.failed


def test_a_text_answer_that_breaks_the_rules_is_reported_without_its_text() -> None:
    answer = ended(head("502", PLAIN, ("content-length", "3")), data(1, b"too much"))
    assert answer == (Status.UNAVAILABLE, BAD_GATEWAY)


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        (0x2, Status.INTERNAL, "INTERNAL_ERROR"),
        (0x8, Status.CANCELLED, "CANCEL"),
        (0x0, Status.INTERNAL, "NO_ERROR"),
        (0x7, Status.UNAVAILABLE, "REFUSED_STREAM"),
        (0xFFFF, Status.INTERNAL, "code 65535"),
    ],
)
def test_a_reset_is_not_blamed_on_the_server_alone(code: int, status: Status, name: str) -> None:
    assert ended(rst_stream(1, code)) == (status, f"the call was reset by {HOP} ({name})")


@pytest.mark.parametrize("parts", [[headers(1, TRAILERS[1:], end=True)], [data(1, end=True)]])
def test_an_end_without_a_status_is_reported(parts: list[Part]) -> None:
    answer = ended(headers(1, RESPONSE), *parts)
    assert answer == (Status.UNKNOWN, f"{HOP} ended the call without a gRPC status")


def test_a_malformed_response_is_named() -> None:
    answer = ended(headers(1, RESPONSE), headers(1, TRAILERS))
    assert answer == (Status.INTERNAL, "the response is not valid HTTP/2: trailers without END_STREAM")


@pytest.mark.parametrize(
    ("code", "debug", "why"),
    [
        (0, b"", ""),
        (0, b"maintenance", " (maintenance)"),
        (0xB, b"too_many_pings", " (ENHANCE_YOUR_CALM: too_many_pings)"),
        (0x1, b"", " (PROTOCOL_ERROR)"),
        (0x2, b"\x1b[2J\xff\n" + b"x" * 300, " (INTERNAL_ERROR: \\x1b[2J\ufffd\\n" + "x" * 189 + "…)"),
    ],
)
def test_a_goaway_is_reported_with_its_reason_made_printable(code: int, debug: bytes, why: str) -> None:
    assert describe_goaway(GoAwayReceived(0, code, debug)) == f"{HOP} is closing the connection{why}"
