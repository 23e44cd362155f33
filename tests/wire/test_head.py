"""gRPC requests and responses, and the answers to anything else."""

from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from echo.wire import head, received_request
from echo.wire.errors import MalformedError
from echo.wire.fields import TRAILERS, check_fields, check_request, check_response
from echo.wire.head import Request, Response, Trailers
from echo.wire.header_lists import Field
from echo.wire.received_request import Rejected
from echo.wire.status import Status

# On the wire are octets; here each is written as the character of latin-1 that it is.
Texts = list[tuple[str, str]]


def texts_of(fields: Sequence[Field]) -> Texts:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]


def octets_of(fields: Texts) -> list[Field]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def parse_or_reject(fields: Texts) -> Request | Rejected:
    return received_request.parse_request(check_request(octets_of(fields)), 2**20)


def parse_request(fields: Texts) -> Request:
    request = parse_or_reject(fields)
    assert isinstance(request, Request)
    return request


def answer_of(rejected: Rejected) -> Sequence[Field]:
    return rejected.head or rejected.trailers.fields(with_head=True)


def parse_response(fields: Texts, *, ended: bool) -> Response | Trailers:
    return head.parse_response(check_response(octets_of(fields)), ended=ended)


def parse_trailers(fields: Texts) -> Trailers:
    return head.parse_trailers(check_fields(octets_of(fields), TRAILERS))


GOOD = texts_of(
    Request("/pkg.Service/Method", "https", "host:1", 1.5, MultiDict([("key", "value"), ("raw-bin", b"\xff")])).fields()
)

texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)
keys = st.from_regex(r"x-[a-z0-9_.-]{0,10}[a-z0-9]", fullmatch=True).filter(lambda key: not key.endswith("-bin"))
metadata = st.lists(
    st.one_of(st.tuples(keys, texts), st.tuples(keys.map(lambda key: key + "-bin"), st.binary(max_size=20)))
).map(MultiDict)


def replaced(name: str, value: str | None) -> list[tuple[str, str]]:
    fields = [field for field in GOOD if field[0] != name]
    if value is None:
        return fields
    return [(name, value), *fields] if name.startswith(":") else [*fields, (name, value)]


@given(metadata)
def test_a_request_arrives_as_it_was_sent(sent: MultiDict[str | bytes]) -> None:
    request = parse_request(texts_of(Request("/a/b", metadata=sent, timeout=0.25).fields()))
    assert (request.path, request.timeout, request.scheme) == ("/a/b", 0.25, "http")
    assert list(request.metadata.items()) == list(sent.items())


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_both_heads_carry_the_message_encoding(encoding: str) -> None:
    request = texts_of(Request("/a/b", encoding=encoding).fields())
    assert parse_request(request).encoding == encoding
    assert parse_request(request).accept_encoding == "identity,gzip"
    response = texts_of(Response(encoding=encoding).fields())
    assert parse_response(response, ended=False) == Response(encoding=encoding)
    for fields in (request, response):
        assert ("grpc-encoding" in dict(fields)) is (encoding != "identity")  # Defaults are not sent.


def test_a_client_without_grpc_accept_encoding_gets_nothing_compressed() -> None:
    assert parse_request(replaced("grpc-accept-encoding", None)).accept_encoding == ""


def test_the_fields_that_all_requests_of_a_method_share_come_first() -> None:
    names = [name for name, _ in GOOD]
    assert names[:4] == [":method", ":scheme", ":path", ":authority"]
    assert names.index("te") < names.index("grpc-accept-encoding") < names.index("grpc-timeout")


@pytest.mark.parametrize(
    ("fields", "http_status", "grpc_status"),
    [
        (replaced(":method", "GET"), "405", Status.INTERNAL),
        (replaced("content-type", None), "415", Status.UNKNOWN),
        (replaced("content-type", "text/html"), "415", Status.UNKNOWN),
        (replaced("content-type", "application/grpcfoo"), "415", Status.UNKNOWN),
        (replaced("content-type", "application/grpc-web"), "415", Status.UNKNOWN),
        (replaced("content-type", "application/grpc+json"), "200", Status.UNIMPLEMENTED),
        (replaced("grpc-encoding", "br"), "200", Status.UNIMPLEMENTED),
        (replaced("grpc-timeout", "soon"), "200", Status.INTERNAL),
        (replaced("grpc-timeout", "123456789S"), "200", Status.INTERNAL),
        (replaced("broken-bin", "!!!"), "200", Status.INTERNAL),
    ],
)
def test_a_request_that_is_not_a_call_is_answered_with_a_reason(
    fields: list[tuple[str, str]], http_status: str, grpc_status: Status
) -> None:
    rejected = parse_or_reject(fields)
    assert isinstance(rejected, Rejected)
    answer = dict(texts_of(answer_of(rejected)))
    assert answer[":status"] == http_status
    assert answer["grpc-status"] == str(grpc_status.value)
    assert answer["grpc-message"]
    if http_status == "200":
        assert answer["grpc-accept-encoding"] == "identity,gzip"
        assert not rejected.body
    else:  # Not gRPC: the reason is for people.
        assert b"gRPC" in rejected.body


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "application/grpc; a=b"])
def test_content_types_of_grpc_are_accepted(content_type: str) -> None:
    assert parse_request(replaced("content-type", content_type)).content_type == content_type


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto", "application/grpc; a=b"])
def test_responses_of_any_content_type_of_grpc_are_accepted(content_type: str) -> None:
    assert parse_response([(":status", "200"), ("content-type", content_type)], ended=False) == Response()


def test_a_proxy_that_drops_te_does_no_harm() -> None:
    assert parse_request(replaced("te", None)).path == "/pkg.Service/Method"


@given(metadata, st.text(), st.sampled_from(Status), st.none() | st.binary(max_size=30))
def test_trailers_arrive_as_they_were_sent(
    sent: MultiDict[str | bytes], message: str, status: Status, details: bytes | None
) -> None:
    trailers = Trailers(status, message or None, details, sent)
    received = parse_trailers(texts_of(trailers.fields(with_head=False)))
    assert received.status is status
    assert received.message == (message.encode("utf-8", "replace").decode() or None)
    assert received.details == details
    assert list(received.metadata.items()) == list(sent.items())


def test_a_response_head_is_distinguished_from_trailers_only() -> None:
    assert isinstance(parse_response(texts_of(Response().fields()), ended=False), Response)
    alone = parse_response(texts_of(Trailers(Status.ABORTED).fields(with_head=True)), ended=True)
    assert isinstance(alone, Trailers)
    assert alone.status == Status.ABORTED


@pytest.mark.parametrize(
    ("fields", "ended", "status"),
    [
        ([(":status", "503"), ("content-type", "text/html")], False, Status.UNAVAILABLE),
        ([(":status", "404")], True, Status.UNIMPLEMENTED),
        ([(":status", "401")], True, Status.UNAUTHENTICATED),
        ([(":status", "200"), ("content-type", "text/html")], False, Status.UNKNOWN),
        ([(":status", "200"), ("content-type", "application/grpc")], True, Status.UNKNOWN),
        ([(":status", "503"), ("grpc-status", "5")], True, Status.NOT_FOUND),
        ([(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "br")], False, Status.INTERNAL),
        ([(":status", "200"), ("content-type", "application/grpc"), ("x-bin", "!")], False, Status.INTERNAL),
    ],
)
def test_an_invalid_response_ends_the_call(fields: list[tuple[str, str]], ended: bool, status: Status) -> None:
    trailers = parse_response(fields, ended=ended)
    assert isinstance(trailers, Trailers)
    assert trailers.status is status


def test_an_oversized_status_message_is_truncated_so_that_peers_accept_the_trailers() -> None:
    fields = dict(texts_of(Trailers(Status.ABORTED, "é" * 100_000).fields(with_head=False)))
    assert len(fields["grpc-message"]) < 8_000
    assert parse_trailers(list(fields.items())).message == "é" * 1_024


def test_trailers_with_broken_metadata_never_count_as_ok() -> None:
    assert parse_trailers([("grpc-status", "0"), ("x-bin", "!")]).status is Status.INTERNAL
    assert parse_trailers([("grpc-status", "5"), ("x-bin", "!")]).status is Status.NOT_FOUND
    assert parse_trailers([("x", "y")]).status is Status.UNKNOWN


def test_the_server_s_message_is_kept_even_if_its_metadata_is_invalid() -> None:
    assert parse_trailers([("grpc-status", "5"), ("grpc-message", "none here"), ("x-bin", "!")]).message == "none here"


octets = st.text(st.characters(max_codepoint=0xFF), max_size=12)


@given(st.lists(st.tuples(octets, octets)), st.booleans())
def test_no_header_list_raises_anything_else(fields: Texts, ended: bool) -> None:
    with suppress(MalformedError):
        read = parse_or_reject(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", "/"),
                ("content-type", "application/grpc"),
                *fields,
            ]
        )
        if isinstance(read, Rejected):
            assert dict(answer_of(read))[b":status"] in (b"200", b"405", b"415")
    with suppress(MalformedError):
        parse_response([(":status", "200"), ("content-type", "application/grpc"), *fields], ended=ended)
    with suppress(MalformedError):
        parse_trailers([("grpc-status", "0"), *fields])


@pytest.mark.parametrize("status", ["abc", "5" * 5_000, "\xb2\xb2\xb2", "20", "", None])
def test_a_response_without_a_status_of_three_digits_is_malformed(status: str | None) -> None:
    with pytest.raises(MalformedError):
        parse_response([] if status is None else [(":status", status)], ended=True)
