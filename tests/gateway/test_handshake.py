"""What is parsed from a request before it becomes a call, and how the call's status is reported."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict
from werkzeug.exceptions import NotFound

from echo.contract import HTTP_STATUS
from echo.gateway.metadata import (
    MAX_RETURNED_SIZE,
    MAX_SIZE,
    BadHeaderError,
    CallContext,
    call_context,
    request_id_of,
    response_headers,
)
from echo.gateway.origin import is_allowed
from echo.gateway.routes import key_of
from echo.gateway.status import MAX_REASON, close_of_failed_call, error_body, status_of_http_error
from echo.rpc import Status
from echo.settings import load_settings
from echo.wire.metadata import encode_metadata
from tests.support.gateway import encoded

HOST = "echo.example:8080"


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "others", "expected"),
    [
        (None, HOST, "ws", "", True),
        ("http://echo.example:8080", HOST, "ws", "", True),
        ("https://echo.example:8080", HOST, "wss", "", True),
        ("http://ECHO.example:8080", HOST, "ws", "", True),
        ("http://echo.example", "echo.example", "ws", "", True),
        ("http://echo.example:80", "echo.example", "ws", "", True),
        ("http://echo.example", "echo.example:80", "ws", "", True),
        ("https://echo.example", "echo.example:443", "wss", "", True),
        ("http://[::1]:8080", "[::1]:8080", "ws", "", True),
        ("https://echo.example:8080", HOST, "ws", "", False),
        ("http://echo.example", HOST, "ws", "", False),
        ("http://evil.example:8080", HOST, "ws", "", False),
        ("http://echo.example.evil:8080", HOST, "ws", "", False),
        ("http://evil@echo.example:8080", HOST, "ws", "", False),
        ("http://echo.example:8080/path", HOST, "ws", "", False),
        ("null", HOST, "ws", "", False),
        ("", HOST, "ws", "", False),
        ("http://", HOST, "ws", "", False),
        ("http://echo.example:99999", HOST, "ws", "", False),
        ("http://[echo.example", HOST, "ws", "", False),
        ("http://echo.example:8080", None, "ws", "", False),
        ("https://app.example", HOST, "ws", "https://app.example", True),
        ("https://app.example:443", HOST, "ws", "https://app.example", True),
        ("https://app.example", HOST, "ws", "https://APP.example:443", True),
        ("https://app.example", HOST, "ws", "https://other.example, https://app.example", True),
        ("http://app.example", HOST, "ws", "https://app.example", False),
        ("https://sub.app.example", HOST, "ws", "https://app.example", False),
        ("null", HOST, "ws", "null", True),
        ("null", HOST, "ws", "*", True),
        ("http://evil.example", HOST, "ws", "*", True),
    ],
)
def test_origins(origin: str | None, host: str | None, scheme: str, others: str, expected: bool) -> None:
    allowed = load_settings({"HTTP_ALLOWED_ORIGINS": others}).http_allowed_origins
    headers = {"host": host, "origin": origin}
    given_headers = encoded(*((name, value) for name, value in headers.items() if value is not None))
    assert is_allowed(given_headers, scheme, allowed) is expected


def test_the_own_scheme_is_the_one_that_a_proxy_in_front_speaks() -> None:
    headers = encoded(("host", "echo.example"), ("origin", "https://echo.example"), ("x-forwarded-proto", "https"))
    assert is_allowed(headers, "ws", ())
    assert not is_allowed(headers[:2], "ws", ())


def test_two_origins_are_none() -> None:
    assert not is_allowed(encoded(("host", HOST), ("origin", f"http://{HOST}"), ("origin", f"http://{HOST}")), "ws", ())


@given(st.lists(st.tuples(st.sampled_from(["origin", "host", "x-forwarded-proto"]), st.text(max_size=30))))
def test_no_origin_is_an_error(headers: list[tuple[str, str]]) -> None:
    is_allowed([(name.encode(), value.encode()) for name, value in headers], "ws", ())


def context(*headers: tuple[str, str], client: str | None = None) -> CallContext:
    return call_context(encoded(*headers), "the-id", client)


def metadata(*headers: tuple[str, str], client: str | None = None) -> dict[str, list[str | bytes]]:
    found = MultiDict(context(*headers, client=client).metadata)
    return {name: found.getall(name) for name in found}


@pytest.mark.parametrize("name", ["authorization", "traceparent", "tracestate", "baggage", "b3", "x-b3-traceid"])
def test_headers_that_pass_through(name: str) -> None:
    assert metadata((name, "value"))[name] == ["value"]


def test_other_headers_stay_behind() -> None:
    assert set(metadata(("cookie", "x"), ("host", "x"), ("te", "trailers"), ("x-other", "x"))) == {"x-request-id"}


def test_the_request_id_is_the_request_s_own_or_a_new_one() -> None:
    assert request_id_of(encoded(("x-request-id", "mine"))) == "mine"
    made = [request_id_of([]), request_id_of([])]
    assert all(len(one) == 36 for one in made)
    assert made[0] != made[1]
    assert metadata(("x-request-id", "other"))["x-request-id"] == ["the-id"]


@pytest.mark.parametrize("unusable", ["", " ", "caf\xe9", "a\tb", "x" * 1000])
def test_a_request_id_that_can_t_be_passed_on_is_replaced(unusable: str) -> None:
    assert len(request_id_of(encoded(("x-request-id", unusable)))) == 36


def test_metadata_is_limited_to_the_byte_with_32_more_for_each_field() -> None:
    room = MAX_SIZE - 32 - len("authorization") - sum(len(text) for text in ("x-request-id", "the-id")) - 32
    assert metadata(("authorization", "y" * room))["authorization"] == ["y" * room]
    with pytest.raises(BadHeaderError, match=f"too much metadata: {MAX_SIZE + 1} bytes of at most {MAX_SIZE}"):
        metadata(("authorization", "y" * (room + 1)))


def test_the_client_s_address_is_appended_to_those_before_it() -> None:
    before = [("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("x-forwarded-for", "3.3.3.3")]
    assert metadata(*before, client="4.4.4.4")["x-forwarded-for"] == ["1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4"]
    assert metadata(client="4.4.4.4")["x-forwarded-for"] == ["4.4.4.4"]
    assert "x-forwarded-for" not in metadata()


def test_custom_metadata_by_prefix() -> None:
    got = metadata(
        ("grpc-metadata-tenant", "a"),
        ("Grpc-Metadata-Tenant", "b"),
        ("grpc-metadata-raw-bin", "AP8="),
        ("grpc-metadata-raw-bin", "AA, AQ=="),
        ("grpc-metadata-bare-bin", "AP8"),
    )
    assert got["tenant"] == ["a", "b"]
    assert got["raw-bin"] == [b"\x00\xff", b"\x00", b"\x01"]
    assert got["bare-bin"] == [b"\x00\xff"]


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (("grpc-metadata-x-bin", "!!"), "Grpc-Metadata-x-bin"),
        (("grpc-metadata-x-bin", "AA="), "Grpc-Metadata-x-bin"),
        (("grpc-metadata-grpc-status", "0"), "Grpc-Metadata-grpc-status"),
        (("grpc-metadata-te", "x"), "Grpc-Metadata-te"),
        (("grpc-metadata-", "x"), "Grpc-Metadata-"),
        (("grpc-metadata-x", "caf\xe9"), "Grpc-Metadata-x"),
        (("grpc-metadata-x", "y" * 9_000), "too much metadata"),
        (("authorization", "y" * 9_000), "too much metadata"),
        (("grpc-timeout", "soon"), "Grpc-Timeout"),
        (("grpc-timeout", ""), "Grpc-Timeout"),
        (("grpc-timeout", "1"), "Grpc-Timeout"),
        (("grpc-timeout", "-1S"), "Grpc-Timeout"),
        (("grpc-timeout", "123456789S"), "Grpc-Timeout"),
    ],
)
def test_what_is_addressed_to_grpc_must_be_right(header: tuple[str, str], named: str) -> None:
    with pytest.raises(BadHeaderError, match=named):
        context(header)


def test_there_is_one_deadline() -> None:
    with pytest.raises(BadHeaderError, match="Grpc-Timeout"):
        context(("grpc-timeout", "1S"), ("grpc-timeout", "2S"))


def test_headers_whose_value_grpc_cannot_carry_are_left_out() -> None:
    assert "authorization" not in metadata(("authorization", "caf\xe9"))
    assert metadata(("x-forwarded-for", "caf\xe9"), client="1.1.1.1")["x-forwarded-for"] == ["1.1.1.1"]
    assert "x-b3-bin" not in metadata(("x-b3-bin", "text"))


@pytest.mark.parametrize(("value", "seconds"), [("500m", 0.5), ("2S", 2), ("1H", 3600), ("0S", 0)])
def test_deadlines(value: str, seconds: float) -> None:
    assert context(("grpc-timeout", value)).timeout == seconds
    assert context().timeout is None


header_names = st.sampled_from(
    ["authorization", "grpc-timeout", "grpc-metadata-a", "grpc-metadata-a-bin", "x-forwarded-for", "x-request-id", "b3"]
)


@given(st.lists(st.tuples(header_names, st.text(st.characters(max_codepoint=255), max_size=10))))
def test_whatever_headers_come_give_metadata_that_can_be_sent_or_an_error(headers: list[tuple[str, str]]) -> None:
    try:
        found = call_context(encoded(*headers), request_id_of(encoded(*headers)), "1.1.1.1")
    except BadHeaderError:
        return
    encode_metadata(found.metadata)


def test_metadata_of_the_answer_becomes_headers() -> None:
    initial = MultiDict[str | bytes]([("one", "1"), ("one", "2"), ("raw-bin", b"\x00\xff")])
    assert response_headers(initial, MultiDict[str | bytes](end="x", broken="caf\xe9")) == [
        ("grpc-metadata-one", "1"),
        ("grpc-metadata-one", "2"),
        ("grpc-metadata-raw-bin", "AP8"),
        ("grpc-trailer-end", "x"),
    ]
    assert response_headers(None, None) == []


def test_metadata_of_the_answer_fills_its_room_to_the_byte() -> None:
    whole = "x" * (MAX_RETURNED_SIZE - len("grpc-metadata-a: \r\n"))
    assert response_headers({"a": whole}, None) == [("grpc-metadata-a", whole)]
    assert response_headers({"a": whole + "x"}, {"b": ""}) == [("grpc-trailer-b", "")]


@pytest.mark.parametrize(
    ("raw", "root_path", "key"),
    [
        (b"/grpc/a", "", "a"),
        (b"/grpc//a//", "", "/a//"),
        (b"/%67rpc/a%2fb%25", "", "a/b%"),
        (b"/grpc/%", "", "%"),
        (b"/grpc/%zz+", "", "%zz+"),
        (b"http://echo.example/grpc/a", "", "a"),
        (b"/mounted/grpc/a", "/mounted", "a"),
    ],
)
def test_keys(raw: bytes, root_path: str, key: str) -> None:
    assert key_of(raw, root_path) == key


@pytest.mark.parametrize("raw", [b"/grpc/", b"/grpc", b"/grpc%2fa", b"/"])
def test_targets_without_a_key(raw: bytes) -> None:
    with pytest.raises(NotFound):
        key_of(raw)


def test_every_status_has_its_http_status() -> None:
    assert {status.name: HTTP_STATUS[status] for status in Status} == {
        "OK": 200,
        "CANCELLED": 499,
        "UNKNOWN": 500,
        "INVALID_ARGUMENT": 400,
        "DEADLINE_EXCEEDED": 504,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "PERMISSION_DENIED": 403,
        "RESOURCE_EXHAUSTED": 429,
        "FAILED_PRECONDITION": 400,
        "ABORTED": 409,
        "OUT_OF_RANGE": 400,
        "UNIMPLEMENTED": 501,
        "INTERNAL": 500,
        "UNAVAILABLE": 503,
        "DATA_LOSS": 500,
        "UNAUTHENTICATED": 401,
    }


def test_an_error_s_body() -> None:
    assert error_body(Status.UNAVAILABLE, 'a "quote"') == (
        b'{"code":14,"status":"UNAVAILABLE","message":"a \\"quote\\""}'
    )
    assert error_body(Status.INTERNAL, None) == b'{"code":13,"status":"INTERNAL","message":""}'


@given(st.sampled_from(list(Status)), st.text())
def test_an_error_s_body_is_json_whatever_the_message(status: Status, message: str) -> None:
    body = json.loads(error_body(status, message))
    assert body == {"code": status.value, "status": status.name, "message": message.encode("utf-8", "replace").decode()}


@pytest.mark.parametrize("http_status", range(400, 600))
def test_errors_of_http_itself_have_a_status_that_fits(http_status: int) -> None:
    status = status_of_http_error(http_status)
    assert HTTP_STATUS[status] // 100 == http_status // 100 or status is Status.UNIMPLEMENTED


@given(st.text(min_size=1))
def test_a_close_reason_fits_a_close_frame_and_ends_on_a_character(message: str) -> None:
    reason = close_of_failed_call(Status.ABORTED, message).reason
    whole = f"ABORTED: {message}".encode("utf-8", "replace").decode()
    assert len(reason.encode()) <= MAX_REASON
    assert whole.startswith(reason)
    assert reason == whole or len(reason.encode()) > MAX_REASON - 4


def test_a_close_reason_without_a_message_is_the_name() -> None:
    assert close_of_failed_call(Status.ABORTED, None).reason == "ABORTED"
    assert close_of_failed_call(Status.ABORTED, "").reason == "ABORTED"
