"""Metadata as header fields: what can be sent, what is refused, and binary values in base64."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from echo.wire import metadata as wire_metadata
from echo.wire.fields import check_response
from echo.wire.metadata import Metadata, MetadataLike

RESERVED = [
    "grpc-status",
    "grpc-timeout",
    "grpc-anything",
    "grpc-status-details-bin",
    "te",
    "content-type",
    "user-agent",
    "connection",
    "proxy-connection",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
]
OF_THE_CONNECTION = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"}  # Malformed.

# On the wire are octets; here each is written as the character of latin-1 that it is.


def encode_metadata(metadata: MetadataLike) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in wire_metadata.encode_metadata(metadata)
    ]


def decode_metadata(fields: list[tuple[str, str]]) -> Metadata:
    return wire_metadata.decode_metadata([(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields])


def encode_bin(value: bytes) -> str:
    return wire_metadata.encode_bin(value).decode("ascii")


def decode_bin(value: str) -> bytes:
    return wire_metadata.decode_bin(value.encode("latin-1"))


# Prefixed with a letter that no reserved name begins with.
keys = st.from_regex(r"x[0-9a-z_.\-]{0,8}", fullmatch=True)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))
text_pairs = st.tuples(keys.filter(lambda key: not key.endswith("-bin")), texts.map(lambda text: text.strip(" ")))
bin_pairs = st.tuples(keys.map(lambda key: key + "-bin"), st.binary())
pairs = st.lists(st.one_of(text_pairs, bin_pairs))


@given(pairs)
def test_metadata_survives_a_round_trip(metadata: list[tuple[str, str | bytes]]) -> None:
    assert list(decode_metadata(encode_metadata(metadata)).items()) == metadata


@given(pairs)
def test_every_encoded_field_is_one_that_http2_carries_unchanged(metadata: list[tuple[str, str | bytes]]) -> None:
    for key, value in encode_metadata(metadata):
        assert key == key.lower()
        assert re.fullmatch(r"(?:[!-~](?:[ -~]*[!-~])?)?", value)


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": "1", "b-bin": b"\x00\xff"},
        [("a", "1"), ("b-bin", b"\x00\xff")],
        (("a", "1"), ("b-bin", b"\x00\xff")),
        MultiDict[str | bytes]([("a", "1"), ("b-bin", b"\x00\xff")]),
    ],
)
def test_mappings_and_pairs_are_both_accepted(metadata: MetadataLike) -> None:
    assert encode_metadata(metadata) == [("a", "1"), ("b-bin", "AP8")]


def test_repeated_keys_stay_repeated_and_in_order() -> None:
    metadata = MultiDict([("a", "2"), ("b", "x"), ("a", "1")])
    assert encode_metadata(metadata) == [("a", "2"), ("b", "x"), ("a", "1")]
    assert decode_metadata([("a", "2"), ("b", "x"), ("a", "1")]).getall("a") == ["2", "1"]


def test_spaces_around_text_are_stripped_and_those_inside_stay() -> None:
    assert encode_metadata({"a": "  b  c ", "d": "   ", "e": ""}) == [("a", "b  c"), ("d", ""), ("e", "")]


@pytest.mark.parametrize("key", [*RESERVED, ":path", "", "A", "X-Id", "a b", "a\n", "é", "a:b", "a/b"])
def test_a_key_that_cannot_be_sent_is_refused_by_name(key: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(key))):
        encode_metadata([(key, b"x" if key.endswith("-bin") else "x")])


@pytest.mark.parametrize("value", ["a\nb", "a\r", "\x00", "\t", "é", "\x7f", "世", "\ud800"])
def test_text_that_cannot_be_sent_is_refused_without_repeating_it(value: str) -> None:
    with pytest.raises(ValueError, match="'secret' has characters other than printable ASCII") as caught:
        encode_metadata({"secret": value})
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ({"a": b"octets"}, "'a' must be str, not bytes"),
        ({"a": 1}, "'a' must be str, not int"),
        ({"a": None}, "'a' must be str, not NoneType"),
        ({"a-bin": "text"}, "'a-bin' must be bytes, not str"),
        ({b"a": "b"}, "key b'a' is not a str"),
    ],
)
def test_a_value_or_key_of_the_wrong_type_is_a_type_error(metadata: MetadataLike, complaint: str) -> None:
    with pytest.raises(TypeError, match=re.escape(complaint)):
        encode_metadata(metadata)


def test_pseudo_headers_and_reserved_names_are_not_metadata() -> None:
    values = {"te": b"trailers", "content-length": b"0"}
    own = [(name.encode(), values.get(name, b"!")) for name in RESERVED if name not in OF_THE_CONNECTION]
    received = check_response([(b":status", b"200"), *own, (b"mine", b"1")])
    assert list(wire_metadata.decode_metadata(received.custom).items()) == [("mine", "1")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grpc-previous-rpc-attempts", b"1"),
        ("grpc-retry-pushback-ms", b"10"),
        ("grpc-trace-bin", b"AAEC"),
        ("grpc-tags-bin", b"AAEC"),
    ],
)
def test_grpc_names_for_applications_are_metadata(name: str, value: bytes) -> None:
    received = check_response([(b":status", b"200"), (name.encode(), value)])
    metadata = wire_metadata.decode_metadata(received.custom)
    assert list(metadata) == [name]
    assert wire_metadata.encode_metadata(metadata) == [(name.encode(), value)]


def test_an_empty_header_list_is_empty_metadata() -> None:
    assert len(decode_metadata([])) == 0
    assert encode_metadata({}) == []


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ("AAEC,/w,Zg==", [b"\x00\x01\x02", b"\xff", b"f"]),
        ("AAEC, /w ,\tZg==", [b"\x00\x01\x02", b"\xff", b"f"]),
        ("", [b""]),
        ("AAEC,", [b"\x00\x01\x02", b""]),
    ],
)
def test_binary_values_joined_by_commas_are_split(value: str, values: list[bytes]) -> None:
    assert decode_metadata([("a-bin", value)]).getall("a-bin") == values


def test_text_values_with_commas_stay_whole() -> None:
    assert decode_metadata([("a", "1,2")]).getall("a") == ["1,2"]


@given(st.lists(st.tuples(st.binary(), st.booleans()), min_size=1))
def test_padded_and_unpadded_lists_decode_alike(values: list[tuple[bytes, bool]]) -> None:
    joined = ",".join(base64.b64encode(value).decode() if padded else encode_bin(value) for value, padded in values)
    assert decode_metadata([("a-bin", joined)]).getall("a-bin") == [value for value, _ in values]


BAD_BASE64 = [
    "A",
    "A===",
    "AA=",
    "AAA==",
    "AA==AA==",
    "====",
    "=",
    "A A",
    "_w",
    "-w",
    "é",
    "AA\n",
    "\xff\xff\xff\xff",
    "!!",
]


@pytest.mark.parametrize("value", BAD_BASE64)
def test_bad_base64_is_a_value_error(value: str) -> None:
    with pytest.raises(ValueError, match=r"base64|Base64|ASCII|[Pp]adding|data"):
        decode_bin(value)
    with pytest.raises(ValueError, match=r"metadata value of 'token-bin' is not base64"):
        decode_metadata([("ok", "1"), ("token-bin", "AAEC," + value)])


@given(st.text(st.characters(max_codepoint=0xFF)))
def test_any_binary_header_decodes_or_is_a_value_error(value: str) -> None:
    try:
        decoded = decode_metadata([("a-bin", value)]).getall("a-bin")
    except ValueError:
        return
    assert all(isinstance(item, bytes) for item in decoded)


@given(st.binary())
def test_binary_values_go_out_unpadded_and_come_back(value: bytes) -> None:
    encoded = encode_bin(value)
    assert "=" not in encoded
    assert decode_bin(encoded) == decode_bin(base64.b64encode(value).decode()) == value
