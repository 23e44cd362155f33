"""What is read off a request before it becomes a call, and how the call's status looks afterwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.gateway.metadata import call_context
from echo.gateway.origin import allowed
from echo.gateway.status import HTTP_STATUS, close_reason, cut, error_body
from echo.rpc import GRPCError, Status
from echo.wire.metadata import encode_metadata

HOST = "echo.example:8080"


@pytest.mark.parametrize(
    ("origin", "host", "others", "expected"),
    [
        (None, HOST, [], True),
        ("http://echo.example:8080", HOST, [], True),
        ("https://echo.example:8080", HOST, [], True),
        ("http://ECHO.example:8080", HOST, [], True),
        ("http://echo.example", "echo.example", [], True),
        ("http://echo.example:80", "echo.example", [], True),
        ("https://echo.example", "echo.example:443", [], True),
        ("http://[::1]:8080", "[::1]:8080", [], True),
        ("http://echo.example", HOST, [], False),
        ("http://evil.example:8080", HOST, [], False),
        ("http://echo.example.evil:8080", HOST, [], False),
        ("null", HOST, [], False),
        ("", HOST, [], False),
        ("http://", HOST, [], False),
        ("http://echo.example:99999", HOST, [], False),
        ("http://echo.example:8080", None, [], False),
        ("https://app.example", HOST, ["https://app.example"], True),
        ("https://app.example", HOST, ["https://app.example/"], True),
        ("https://app.example:443", HOST, ["https://app.example"], True),
        ("http://app.example", HOST, ["https://app.example"], False),
        ("https://sub.app.example", HOST, ["https://app.example"], False),
        ("null", HOST, ["*"], True),
        ("http://evil.example", HOST, ["*"], True),
    ],
)
def test_origins(origin: str | None, host: str | None, others: list[str], expected: bool) -> None:
    assert allowed(origin, host, others) is expected


@given(st.text(max_size=30), st.text(max_size=30), st.lists(st.text(max_size=30), max_size=2))
def test_no_origin_is_an_error(origin: str, host: str, others: list[str]) -> None:
    allowed(origin, host, others)


def context_of(*headers: tuple[str, str], client: str | None = None) -> dict[str, list[str | bytes]]:
    metadata = call_context([(name.encode(), value.encode("latin-1")) for name, value in headers], client).metadata
    return {name: metadata.getall(name) for name in metadata}


@pytest.mark.parametrize(
    "name", ["authorization", "traceparent", "tracestate", "baggage", "x-request-id", "b3", "x-b3-traceid"]
)
def test_headers_that_pass_through(name: str) -> None:
    assert context_of((name, "value"))[name] == ["value"]


def test_other_headers_stay_behind() -> None:
    assert set(context_of(("cookie", "x"), ("host", "x"), ("te", "trailers"), ("x-other", "x"))) == {"x-request-id"}


def test_a_request_id_is_made_where_there_is_none() -> None:
    one, other = call_context([], None), call_context([], None)
    assert len(one.request_id) == 36
    assert one.request_id != other.request_id
    assert one.metadata["x-request-id"] == one.request_id
    assert call_context([(b"x-request-id", b"mine")], None).request_id == "mine"


def test_the_client_s_address_is_appended_to_those_before_it() -> None:
    assert context_of(("x-forwarded-for", "1.1.1.1, 2.2.2.2"), client="3.3.3.3")["x-forwarded-for"] == [
        "1.1.1.1, 2.2.2.2, 3.3.3.3"
    ]
    assert context_of(client="3.3.3.3")["x-forwarded-for"] == ["3.3.3.3"]
    assert "x-forwarded-for" not in context_of()


def test_custom_metadata_by_prefix() -> None:
    got = context_of(
        ("grpc-metadata-tenant", "a"),
        ("Grpc-Metadata-Tenant", "b"),
        ("grpc-metadata-raw-bin", "AP8="),
        ("grpc-metadata-bare-bin", "AP8"),
    )
    assert got["tenant"] == ["a", "b"]
    assert got["raw-bin"] == got["bare-bin"] == [b"\x00\xff"]


@pytest.mark.parametrize(
    "header",
    [
        ("grpc-metadata-x-bin", "!!"),
        ("grpc-metadata-grpc-status", "0"),
        ("grpc-metadata-te", "x"),
        ("grpc-metadata-", "x"),
        ("grpc-metadata-x", "caf\xe9"),
        ("grpc-timeout", "soon"),
        ("grpc-timeout", "1"),
        ("grpc-timeout", "123456789S"),
    ],
)
def test_what_is_addressed_to_grpc_must_be_right(header: tuple[str, str]) -> None:
    with pytest.raises(GRPCError) as raised:
        context_of(header)
    assert raised.value.status is Status.INVALID_ARGUMENT


def test_headers_whose_value_grpc_cannot_carry_are_left_out() -> None:
    assert "authorization" not in context_of(("authorization", "caf\xe9"))
    assert "x-forwarded-for" not in context_of(("x-forwarded-for", "caf\xe9"), client="1.1.1.1")


@pytest.mark.parametrize(("value", "seconds"), [("500m", 0.5), ("2S", 2), ("1H", 3600)])
def test_deadlines(value: str, seconds: float) -> None:
    assert call_context([(b"grpc-timeout", value.encode())], None).timeout == seconds


header_names = st.sampled_from(
    ["authorization", "grpc-timeout", "grpc-metadata-a", "grpc-metadata-a-bin", "x-forwarded-for", "x-request-id", "b3"]
)


@given(st.lists(st.tuples(header_names, st.text(st.characters(max_codepoint=255), max_size=10))))
def test_whatever_headers_come_give_metadata_that_can_be_sent_or_an_error(headers: list[tuple[str, str]]) -> None:
    try:
        context = call_context([(name.encode(), value.encode("latin-1")) for name, value in headers], "1.1.1.1")
    except GRPCError as error:
        assert error.status is Status.INVALID_ARGUMENT
    else:
        encode_metadata(context.metadata)


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
    assert error_body(GRPCError(Status.UNAVAILABLE, 'a "quote"')) == (
        b'{"code":14,"status":"UNAVAILABLE","message":"a \\"quote\\""}'
    )


@given(st.text(min_size=1))
def test_a_close_reason_fits_a_close_frame_and_ends_on_a_character(message: str) -> None:
    reason = close_reason(GRPCError(Status.ABORTED, message))
    assert len(reason.encode()) <= 123
    whole = f"ABORTED: {message}".encode("utf-8", "replace").decode()
    assert whole.startswith(reason)
    assert len(whole.encode()) - len(reason.encode()) == 0 or len(reason.encode()) > 119


def test_a_close_reason_without_a_message_is_the_name() -> None:
    assert close_reason(GRPCError(Status.ABORTED)) == "ABORTED"
    assert cut("é" * 100, 5) == "éé"
