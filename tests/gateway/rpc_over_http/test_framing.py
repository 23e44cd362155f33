"""What lies around messages: base64 in pieces, last frames, details; whatever the bytes, and however they are cut."""

import base64
import itertools
import json
from base64 import b64encode
from collections.abc import Iterable

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from hypothesis import given
from hypothesis import strategies as st

from echo.gateway.rpc_over_http.codec import codec_for, method_at
from echo.gateway.rpc_over_http.connect_unary import parameters
from echo.gateway.rpc_over_http.framing import Base64Decoder
from echo.gateway.rpc_over_http.grpc_web import GrpcWeb
from echo.gateway.rpc_over_http.outcome import Outcome, end_of_stream, error_of, outcome_of
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import GRPCError, Status
from tests.support.rpc_over_http import BIDIRECTIONAL


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data in pieces."""
    at = sorted({min(place, len(data)) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 400)))
def test_base64_in_padded_pieces_comes_out_however_it_is_cut(chunks: list[bytes], places: list[int]) -> None:
    decoder = Base64Decoder()
    text = b"".join(map(b64encode, chunks))
    assert b"".join([decoder.feed(piece) for piece in cut(text, places)]) == b"".join(chunks)
    decoder.close()


@given(st.lists(st.one_of(st.binary(max_size=9), st.text("AZaz09+/=\n", max_size=9).map(str.encode))))
def test_what_is_no_base64_is_told_and_nothing_else_happens(pieces: list[bytes]) -> None:
    decoder = Base64Decoder()
    decoded = b""
    try:
        for piece in pieces:
            decoded += decoder.feed(piece)
        decoder.close()
    except GRPCError as error:
        assert error.status is Status.INVALID_ARGUMENT
    else:
        assert len(decoded) <= 3 * len(b"".join(pieces)) / 4


@given(st.binary(max_size=60))
def test_any_bytes_as_details_are_details_or_none(octets: bytes) -> None:
    for detail in error_of(Outcome(Status.ABORTED, details=octets)).get("details", []):  # type: ignore[attr-defined]
        assert set(detail) == {"type", "value"}


@given(st.lists(st.tuples(st.text("abc./"), st.binary(max_size=9)), max_size=3))
def test_details_come_in_their_order_by_name_and_unpadded_value(found: list[tuple[str, bytes]]) -> None:
    octets = b"\x08\x0a"
    for name, value in found:
        serialised = AnyMessage(type_url=f"type.googleapis.com/{name}", value=value).SerializeToString()
        octets += b"\x1a" + bytes([len(serialised)]) + serialised
    details = error_of(Outcome(Status.ABORTED, details=octets)).get("details", [])
    assert details == [
        {"type": name.rpartition("/")[2], "value": base64.b64encode(value).decode().rstrip("=")}
        for name, value in found
    ]


@given(st.text(st.characters(codec=None), max_size=20))
def test_any_message_of_a_status_can_be_told(text: str) -> None:
    outcome = outcome_of(GRPCError(Status.ABORTED, text))
    said = json.loads(end_of_stream(outcome))["error"].get("message", "")
    assert said == text.encode("utf-8", "replace").decode()
    trailers = GrpcWeb("", text=False).end_frame(outcome)[5:]
    assert trailers.count(b"\r\n") == 1 + bool(text)
    assert trailers.isascii()


@given(st.binary(max_size=200))
def test_any_bytes_are_json_of_the_message_or_refused(data: bytes) -> None:
    codec = codec_for("json", BIDIRECTIONAL)
    try:
        StreamMessage.FromString(codec.decode(data))
    except GRPCError as error:
        assert error.status is Status.INVALID_ARGUMENT
    try:
        json.loads(codec.encode(data))
    except GRPCError as error:
        assert error.status is Status.INTERNAL


@given(st.integers(-(2**63), 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_json_goes_there_and_back(number: int, text: str) -> None:
    codec = codec_for("json", BIDIRECTIONAL)
    for written in (number, str(number)):
        data = json.dumps({"streamId": "a", "sequence_number": written, "message": text}).encode()
        assert StreamMessage.FromString(codec.decode(data)) == StreamMessage("a", number, 0, text)


@pytest.mark.parametrize("number", [2**63, "x", "1.5", 1.5, [], True])
def test_what_is_no_int64_is_refused(number: object) -> None:
    with pytest.raises(GRPCError):
        codec_for("json", BIDIRECTIONAL).decode(json.dumps({"sequenceNumber": number}).encode())


@given(st.text(max_size=50))
def test_any_query_has_parameters(query: str) -> None:
    parameters(query)


@given(st.text(st.characters(codec="latin-1"), max_size=20), st.text(st.characters(codec="latin-1"), max_size=20))
def test_any_path_names_a_method_or_none(service: str, name: str) -> None:
    assert method_at(f"/{service}/{name}") is None
    assert method_at(BIDIRECTIONAL) is not None
