"""RFC 9113 §8.2, field names and values: a malformed field ends its stream, never the connection (§8.1.1)."""

import pytest

from tests.support.reactions import (
    MALFORMED,
    REQUEST,
    RESPONSE,
    TRAILERS,
    Row,
    Text,
    each,
    headers,
    judge,
    opened,
    row,
    without,
)
from tests.support.rfc9113 import Endpoint, Part

ENDED_BADLY = f"{MALFORMED} | status INTERNAL | status UNKNOWN | told PROTOCOL_ERROR"

BAD: dict[str, tuple[Text, Text]] = {
    # §8.2.1
    "an uppercase name": ("X-Note", "v"),
    "a name with one uppercase letter": ("x-notE", "v"),
    "a name with a blank": ("x note", "v"),
    "a name with a tab": ("x\tnote", "v"),
    "a name with a control character": ("x\x01note", "v"),
    "a name with DEL": ("x\x7fnote", "v"),
    "a name with NUL": ("x\0note", "v"),
    "a name that is not ASCII": (b"x-n\xf6te", "v"),
    "a name with a colon": ("x:note", "v"),
    "a name that ends in a colon": ("x-note:", "v"),
    "a name with a line end": ("x-note\r\nevil", "v"),
    "no name": ("", "v"),
    "a value with NUL": ("x-note", "a\0b"),
    "a value with CR": ("x-note", "a\rb"),
    "a value with LF": ("x-note", "a\nb"),
    "a value with a line end": ("x-note", "a\r\nevil: b"),
    # §8.2.2
    "connection": ("connection", "close"),
    "keep-alive": ("keep-alive", "timeout=5"),
    "proxy-connection": ("proxy-connection", "close"),
    "transfer-encoding": ("transfer-encoding", "chunked"),
    "upgrade": ("upgrade", "h2c"),
}
# What the grammar does not allow and programs send all the same: both are right.
DOUBTFUL: dict[str, tuple[Text, Text]] = {
    "a name with what HTTP allows in none": ("x(note)", "v"),
    "a value with a control character": ("x-note", "a\x01b"),
    "a value with DEL": ("x-note", "a\x7fb"),
}
GOOD: dict[str, tuple[Text, Text]] = {
    "all that a name may hold": ("x-!#$%&'*+.^_`|~09az", "v"),
    "no value": ("x-note", ""),
    "a value with tabs and blanks in it": ("x-note", "a\tb c"),
    "a value that is not ASCII": ("x-note", b"caf\xc3\xa9"),
    "a value of bytes that are no UTF-8": ("x-note", b"\xff\xfe"),
    "a leading blank": ("x-note", " v"),
    "a trailing blank": ("x-note", "v "),
    "a trailing tab": ("x-note", "v\t"),
    "nothing but blanks": ("x-note", "   "),
    "a field that may not be indexed": ("authorization", "secret"),
    "cookie": ("cookie", "a=b"),
    "trailer": ("trailer", "x-t"),
    "expect": ("expect", "100-continue"),
}
# Also in pseudo-header fields, which have values as well.
VALUES = [
    row(
        f"{name} with a line end",
        MALFORMED,
        headers(1, (*without(REQUEST, name), (name, "a\r\nb"))[-1:] + without(REQUEST, name)),
    )
    for name in (":method", ":scheme", ":path", ":authority")
]


def with_field(field: tuple[Text, Text]) -> tuple[tuple[Text, Text], ...]:
    return (*REQUEST, field)


SERVER = [
    *(row(name, MALFORMED, headers(1, with_field(field))) for name, field in BAD.items()),
    *(row(f"{name}, END_STREAM", MALFORMED, headers(1, with_field(field), end=True)) for name, field in BAD.items()),
    *(
        row(f"{name}, between", MALFORMED, headers(1, (*REQUEST[:4], field, *REQUEST[4:])))
        for name, field in BAD.items()
    ),
    *(row(name, f"call | {MALFORMED}", headers(1, with_field(field))) for name, field in DOUBTFUL.items()),
    *(row(name, "call", headers(1, with_field(field))) for name, field in GOOD.items()),
    *VALUES,
    row("te of trailers", "call", headers(1, REQUEST)),
    row("no te", "call", headers(1, without(REQUEST, "te"))),
    row("te of something else", MALFORMED, headers(1, (*without(REQUEST, "te"), ("te", "gzip")))),
    row("te of trailers and more", MALFORMED, headers(1, (*without(REQUEST, "te"), ("te", "trailers, gzip")))),
    row("te twice, once wrong", MALFORMED, headers(1, (*REQUEST, ("te", "gzip")))),
    row("many cookies", "call", headers(1, (*REQUEST, ("cookie", "a=b"), ("cookie", "c=d")))),
]


def heads(field: tuple[Text, Text], *, end: bool = False) -> Part:
    return headers(1, (*RESPONSE, *(TRAILERS if end else ()), field), end=end)


def trailers(field: tuple[Text, Text]) -> Part:
    return headers(1, (*TRAILERS, field), end=True)


HEADED = (opened(), headers(1, RESPONSE))
CLIENT = [
    *(row(f"{name} in a head", MALFORMED, heads(field), before=(opened(),)) for name, field in BAD.items()),
    *(row(f"{name} in trailers", ENDED_BADLY, trailers(field), before=HEADED) for name, field in BAD.items()),
    *(row(f"{name} alone", ENDED_BADLY, heads(field, end=True), before=(opened(),)) for name, field in BAD.items()),
    *(
        row(f"{name} on a half-closed stream", MALFORMED, heads(field), before=(opened(end=True),))
        for name, field in BAD.items()
    ),
    *(
        row(f"{name} in a head", f"head | {MALFORMED}", heads(field), before=(opened(),))
        for name, field in DOUBTFUL.items()
    ),
    *(row(f"{name} in a head", "head", heads(field), before=(opened(),)) for name, field in GOOD.items()),
    *(row(f"{name} in trailers", "status OK", trailers(field), before=HEADED) for name, field in GOOD.items()),
]


@each(SERVER)
def test_fields_of_a_request(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_fields_of_a_response(row: Row) -> None:
    judge("client", row)


@pytest.mark.parametrize("blanks", [(" ", ""), ("", " "), ("  ", "\t"), (" \t ", " \t ")])
def test_blanks_around_a_value_are_stripped(blanks: tuple[str, str]) -> None:
    endpoint = Endpoint("server")
    before, after = blanks
    endpoint.feed(headers(1, (*REQUEST, ("x-note", f"{before}a b{after}"))))
    assert endpoint.requests()[0].metadata["x-note"] == "a b"


def test_blanks_around_a_status_message_are_stripped() -> None:
    endpoint = Endpoint("client")
    endpoint.open()
    endpoint.feed(headers(1, (*RESPONSE, ("grpc-status", "5"), ("grpc-message", "bad "), ("x-note", " v")), end=True))
    (ended,) = endpoint.ends()
    assert (ended.status.name, ended.message, ended.metadata["x-note"]) == ("NOT_FOUND", "bad", "v")
