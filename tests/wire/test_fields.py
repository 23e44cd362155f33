"""Checks of header lists (RFC 9113 §8.2, §8.3), alone and on a connection."""

import pytest
from hyperframe.frame import DataFrame, RstStreamFrame
from hypothesis import given
from hypothesis import strategies as st

from echo.wire.errors import MalformedError
from echo.wire.events import CallEnded, RequestStarted, ResponseStarted, StreamReset
from echo.wire.fields import (
    REQUEST,
    TRAILERS,
    check_fields,
    check_request,
    check_response,
)
from echo.wire.frames import ErrorCode
from echo.wire.head import Response, Trailers
from echo.wire.header_lists import Field, list_size
from echo.wire.state import OPEN
from echo.wire.status import Status
from tests.support.pair import frames
from tests.support.wire_pair import ConnectionPair, head

PSEUDO: list[Field] = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/s/m")]
AUTHORITY: Field = (b":authority", b"here")
GRPC: Field = (b"content-type", b"application/grpc")


def test_the_size_of_a_list_counts_32_for_each_field() -> None:
    assert list_size([]) == 0
    assert list_size([(b"ab", b"cde"), (b"", b"")]) == 5 + 64


def test_the_fields_of_a_list_are_sorted_by_their_use() -> None:
    checked = check_request([*PSEUDO, AUTHORITY, GRPC, (b"content-length", b"7"), (b"x", b"1"), (b"x", b"2")])
    assert checked.pseudo == {b":method": b"POST", b":scheme": b"http", b":path": b"/s/m", b":authority": b"here"}
    assert checked.own[b"content-type"] == b"application/grpc"
    assert checked.custom == [(b"x", b"1"), (b"x", b"2")]
    assert checked.content_length == 7


def test_authority_counts_and_host_is_dropped() -> None:
    assert check_request([*PSEUDO, AUTHORITY, (b"host", b"there")]).pseudo[b":authority"] == b"here"
    assert check_request([*PSEUDO, AUTHORITY, (b"host", b"there")]).custom == []


def test_host_stands_in_for_an_authority_that_is_missing() -> None:
    assert check_request([*PSEUDO, (b"host", b"there")]).pseudo[b":authority"] == b"there"


def test_a_request_without_authority_and_host_is_well_formed() -> None:
    assert b":authority" not in check_request(PSEUDO).pseudo


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ([*PSEUDO, (b":status", b"200")], "':status' is not allowed there"),
        ([*PSEUDO, (b":protocol", b"websocket")], "':protocol' is not allowed there"),
        ([*PSEUDO, (b"x", b"y"), AUTHORITY], "':authority' follows other fields"),
        ([*PSEUDO, GRPC, AUTHORITY], "':authority' follows other fields"),
        ([*PSEUDO, (b"host", b"y"), AUTHORITY], "':authority' follows other fields"),
        ([*PSEUDO, (b"content-length", b"1"), AUTHORITY], "':authority' follows other fields"),
        ([*PSEUDO, (b":path", b"/s/m")], "':path' is repeated"),
        (PSEUDO[1:], "no ':method'"),
        ([PSEUDO[0], PSEUDO[2]], "no ':scheme'"),
        (PSEUDO[:2], "no ':path'"),
        ([*PSEUDO[:2], (b":path", b"")], "no ':path'"),
        ([*PSEUDO, (b"X", b"y")], "field name 'X' is not allowed"),
        ([*PSEUDO, (b"", b"y")], "field name '' is not allowed"),
        ([*PSEUDO, (b"a b", b"y")], "field name 'a b' is not allowed"),
        ([*PSEUDO, (b"a\n", b"y")], "field name 'a\\n' is not allowed"),
        ([*PSEUDO, (b"a:", b"y")], "field name 'a:' is not allowed"),
        ([*PSEUDO, (b"\xe9", b"y")], "field name 'é' is not allowed"),
        ([*PSEUDO, (b"connection", b"close")], "'connection' is for HTTP/1.1"),
        ([*PSEUDO, (b"proxy-connection", b"close")], "'proxy-connection' is for HTTP/1.1"),
        ([*PSEUDO, (b"keep-alive", b"1")], "'keep-alive' is for HTTP/1.1"),
        ([*PSEUDO, (b"transfer-encoding", b"chunked")], "'transfer-encoding' is for HTTP/1.1"),
        ([*PSEUDO, (b"upgrade", b"h2c")], "'upgrade' is for HTTP/1.1"),
        ([*PSEUDO, (b"te", b"gzip")], "te is 'gzip', not 'trailers'"),
        ([*PSEUDO, (b"x", b"a\nb")], "a line break or NUL"),
        ([*PSEUDO, (b"x", b"a\r")], "a line break or NUL"),
        ([*PSEUDO, (b"x", b"\0")], "a line break or NUL"),
        ([*PSEUDO, (b"host", b"a\0")], "a line break or NUL"),
        ([*PSEUDO[:2], (b":path", b"/a\n")], "a line break or NUL"),
        ([*PSEUDO, (b"content-length", b"-1")], "content-length is '-1'"),
        ([*PSEUDO, (b"content-length", b"")], "content-length is ''"),
        ([*PSEUDO, (b"content-length", b"9" * 5_000)], "content-length is '9999"),
        ([*PSEUDO, (b"content-length", b"\xb2")], "content-length is '²'"),
        ([*PSEUDO, (b"content-length", b"1"), (b"content-length", b"2")], "content-length is '2'"),
    ],
)
def test_a_malformed_request_is_refused_with_the_reason(fields: list[Field], complaint: str) -> None:
    with pytest.raises(MalformedError) as raised:
        check_request(fields)
    assert complaint in str(raised.value)


def test_matching_lengths_and_surrounding_blanks_and_te_are_accepted() -> None:
    fields = [*PSEUDO, (b"te", b" trailers\t"), (b"content-length", b" 5"), (b"content-length", b"5 ")]
    assert check_request(fields).content_length == 5


def test_connect_needs_no_path() -> None:
    assert check_request([(b":method", b"CONNECT"), AUTHORITY]).pseudo[b":method"] == b"CONNECT"  # RFC 9113 §8.5


@pytest.mark.parametrize("status", [b"", b"20", b"2000", b"abc", b"\xd9\xa5\xd9\xa0", b"-20", b"5" * 5_000])
def test_a_response_s_status_has_three_digits(status: bytes) -> None:
    with pytest.raises(MalformedError, match="the response's :status is"):
        check_response([(b":status", status)])
    assert check_response([(b":status", b"200")]).pseudo == {b":status": b"200"}
    with pytest.raises(MalformedError):
        check_response([])


def test_trailers_have_no_pseudo_header_fields() -> None:
    with pytest.raises(MalformedError, match="':status' is not allowed there"):
        check_fields([(b":status", b"200"), (b"grpc-status", b"0")], TRAILERS)


@given(
    st.lists(st.tuples(st.binary(max_size=20) | st.sampled_from([b":path", b"te", b"host"]), st.binary(max_size=20)))
)
def test_any_list_is_well_formed_or_malformed(fields: list[Field]) -> None:
    try:
        checked = check_fields(fields, REQUEST)
    except MalformedError as error:
        assert str(error).isprintable()
        return
    assert set(checked.pseudo) <= REQUEST
    assert not any(name.startswith(b":") or name != name.lower() for name, _ in checked.custom)


# As a connection takes them.


def test_a_malformed_request_ends_its_stream_and_nothing_else() -> None:
    pair = ConnectionPair()
    _, kept = pair.open()
    assert list(pair.server.receive(head(3, [*PSEUDO, (b"Bad", b"name")]))) == []
    (reset,) = frames(pair.server.take_output())
    assert isinstance(reset, RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (3, ErrorCode.PROTOCOL_ERROR)
    assert set(pair.server.streams) == {kept.id}
    (request,) = pair.server.receive(head(5, [*PSEUDO, GRPC]))
    assert isinstance(request, RequestStarted)
    assert request.request.authority == ""


def test_blanks_around_values_are_stripped_and_host_is_no_metadata() -> None:
    pair = ConnectionPair()
    fields = [*PSEUDO, AUTHORITY, GRPC, (b"te", b"trailers "), (b"host", b"there"), (b"x", b" \ty z ")]
    (request,) = pair.server.receive(head(1, fields))
    assert isinstance(request, RequestStarted)
    assert request.request.authority == "here"
    assert list(request.request.metadata.items()) == [("x", "y z")]


@pytest.mark.parametrize(
    ("length", "sent", "sound"),
    [(b"9", [9], True), (b"9", [4, 5], True), (b"9", [8], False), (b"9", [10], False), (b"0", [], True)],
)
def test_a_request_must_match_its_content_length(length: bytes, sent: list[int], sound: bool) -> None:
    pair = ConnectionPair()
    data = b"".join(DataFrame(1, data=b"x" * size, pad_length=3, flags=["PADDED"]).serialize() for size in sent)
    fields = [*PSEUDO, GRPC, (b"content-length", length)]
    end = DataFrame(1, flags=["END_STREAM"]).serialize()
    started, *_, last = pair.server.receive(head(1, fields) + data + end)
    assert isinstance(started, RequestStarted)
    assert (last == StreamReset(started.stream, ErrorCode.PROTOCOL_ERROR)) is not sound


def test_a_request_that_ends_with_its_head_and_promises_data_is_malformed() -> None:
    pair = ConnectionPair()
    assert list(pair.server.receive(head(1, [*PSEUDO, GRPC, (b"content-length", b"5")], end=True))) == []
    assert isinstance(next(frames(pair.server.take_output())), RstStreamFrame)


@pytest.mark.parametrize(("sent", "status"), [(5, Status.OK), (4, Status.INTERNAL), (6, Status.INTERNAL)])
def test_a_response_must_match_its_content_length(sent: int, status: Status) -> None:
    pair = ConnectionPair()
    pair.open(end=True)
    answer = head(1, [*Response().fields(), (b"content-length", b"5")]) + DataFrame(1, data=bytes(sent)).serialize()
    *_, ended = pair.client.receive(answer + head(1, Trailers().fields(with_head=False), end=True))
    assert isinstance(ended, CallEnded)
    assert ended.trailers.status is status
    if status is Status.INTERNAL:
        assert ended.trailers.message is not None
        assert "content-length" in ended.trailers.message


def test_informational_responses_are_ignored() -> None:
    pair = ConnectionPair()
    call, _ = pair.open(end=True)
    early = head(1, [(b":status", b"103"), (b"link", b"</x>")])
    assert list(pair.client.receive(head(1, [(b":status", b"100")]) + early)) == []
    (started,) = pair.client.receive(head(1, Response().fields()))
    assert started == ResponseStarted(call, Response())


def malformed_answers() -> dict[str, bytes]:
    response, trailers = Response().fields(), Trailers().fields(with_head=False)
    return {
        "status": head(1, [(b":status", b"99")]),
        "informational end": head(1, [(b":status", b"100")], end=True),
        "capitals": head(1, [*response, (b"Bad", b"name")]),
        "trailers without an end": head(1, response) + head(1, trailers),
        "data first": DataFrame(1, data=b"x").serialize(),
        "pseudo in trailers": head(1, response) + head(1, [(b":status", b"200"), *trailers], end=True),
    }


@pytest.mark.parametrize("how", malformed_answers())
def test_a_malformed_answer_ends_its_call_and_nothing_else(how: str) -> None:
    pair = ConnectionPair()
    call, _ = pair.open()
    other, _ = pair.open()
    *_, ended = pair.client.receive(malformed_answers()[how])
    assert isinstance(ended, CallEnded)
    assert (ended.stream, ended.trailers.status) == (call, Status.INTERNAL)
    assert str(ended.trailers.message).startswith("the response is not valid HTTP/2: ")
    (reset,) = frames(pair.client.take_output())
    assert isinstance(reset, RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (call.id, ErrorCode.PROTOCOL_ERROR)
    assert other.state == OPEN
