"""Statuses on the wire: codes, percent-encoded messages, and the status for a peer that sent none."""

import re

import pytest
from h2.errors import ErrorCodes
from hypothesis import given
from hypothesis import strategies as st

from echo.wire import status as wire_status
from echo.wire.status import Status, status_from_http, status_from_reset

# hypothesis leaves surrogates out of text() unless asked.
any_text = st.text(st.characters(exclude_categories=()))
octets = st.text(st.characters(max_codepoint=0xFF))


# On the wire are octets; here each is written as the character of latin-1 that it is.


def encode_status_message(text: str) -> str:
    return wire_status.encode_status_message(text).decode("latin-1")


def decode_status_message(value: str) -> str:
    return wire_status.decode_status_message(value.encode("latin-1"))


def parse_status(value: str) -> Status:
    return wire_status.parse_status(value.encode("latin-1"))


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("", ""),
        ("plain, with ~ and 'quotes'", "plain, with ~ and 'quotes'"),
        ("100%", "100%25"),
        ("a\r\nb\x00\x7f", "a%0D%0Ab%00%7F"),
        ("é 世 😀", "%C3%A9 %E4%B8%96 %F0%9F%98%80"),
    ],
)
def test_a_status_message_travels_percent_encoded(text: str, encoded: str) -> None:
    assert encode_status_message(text) == encoded
    assert decode_status_message(encoded) == text


@pytest.mark.parametrize(
    ("text", "encoded"), [(" a  b ", "%20a  b%20"), (" ", "%20"), ("  ", "%20%20"), ("\n ", "%0A%20")]
)
def test_leading_and_trailing_spaces_survive_although_http2_strips_them(text: str, encoded: str) -> None:
    assert encode_status_message(text) == encoded
    assert decode_status_message(encoded.strip()) == text


@given(st.text())
def test_any_text_survives_a_round_trip(text: str) -> None:
    assert decode_status_message(encode_status_message(text)) == text


@given(any_text)
def test_any_string_at_all_encodes_to_a_valid_field_value(text: str) -> None:
    encoded = encode_status_message(text)
    assert re.fullmatch(r"(?:[ -$&-~]|%[0-9A-F]{2})*", encoded)
    assert encoded == encoded.strip()


def test_lone_surrogates_are_replaced_and_pairs_are_joined() -> None:
    assert decode_status_message(encode_status_message("a\ud800b\udc00")) == "a\ufffdb\ufffd"
    assert decode_status_message(encode_status_message("\ud83d\ude00\ud83d")) == "😀\ufffd"


@pytest.mark.parametrize("value", ["%", "50% off", "%4", "%zz", "%%", "%-1", "% 41", "a%+1", "%\u00b2\u00b2"[:1]])
def test_malformed_percent_sequences_are_passed_on(value: str) -> None:
    assert decode_status_message(value) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("%41%4a%4A%", "AJJ%"),
        ("%2541", "%41"),  # Decoded once, not twice.
        ("%FF!", "\ufffd!"),
        ("%C3", "\ufffd"),
        ("\xc3\xa9", "é"),  # UTF-8 that was not encoded, as it arrives in latin-1,
        ("%C3\xa9", "é"),  # or by halves.
        ("\xe9", "\ufffd"),
    ],
)
def test_status_messages_from_peers_are_decoded(value: str, text: str) -> None:
    assert decode_status_message(value) == text


@given(octets)
def test_decoding_never_raises_and_gives_text_that_can_be_sent_on(value: str) -> None:
    text = decode_status_message(value)
    text.encode()
    assert bool(text) == bool(value)


@pytest.mark.parametrize("status", Status)
def test_every_code_is_read_back(status: Status) -> None:
    assert parse_status(str(status.value)) is status
    assert parse_status(f"0{status.value}") is status


@pytest.mark.parametrize("value", ["17", "99", "", "OK", "-1", "+1", " 0", "0 ", "1_0", "1.0", "²", "9" * 5000])
def test_an_undefined_or_malformed_code_is_unknown(value: str) -> None:
    assert parse_status(value) is Status.UNKNOWN


@pytest.mark.parametrize(
    ("http_status", "status"),
    [
        (400, Status.INTERNAL),
        (401, Status.UNAUTHENTICATED),
        (403, Status.PERMISSION_DENIED),
        (404, Status.UNIMPLEMENTED),
        (429, Status.UNAVAILABLE),
        (431, Status.INTERNAL),
        (502, Status.UNAVAILABLE),
        (503, Status.UNAVAILABLE),
        (504, Status.UNAVAILABLE),
        (200, Status.UNKNOWN),
        (302, Status.UNKNOWN),
        (418, Status.UNKNOWN),
        (500, Status.UNKNOWN),
    ],
)
def test_an_http_status_replaces_a_missing_grpc_status(http_status: int, status: Status) -> None:
    assert status_from_http(http_status) is status


@pytest.mark.parametrize(
    ("error_code", "status"),
    [
        (ErrorCodes.REFUSED_STREAM, Status.UNAVAILABLE),
        (ErrorCodes.CANCEL, Status.CANCELLED),
        (ErrorCodes.ENHANCE_YOUR_CALM, Status.RESOURCE_EXHAUSTED),
        (ErrorCodes.INADEQUATE_SECURITY, Status.PERMISSION_DENIED),
        (ErrorCodes.NO_ERROR, Status.INTERNAL),
        (ErrorCodes.PROTOCOL_ERROR, Status.INTERNAL),
        (ErrorCodes.FLOW_CONTROL_ERROR, Status.INTERNAL),
        (0x7FFF_FFFF, Status.INTERNAL),
    ],
)
def test_each_reset_code_maps_to_a_status(error_code: int, status: Status) -> None:
    assert status_from_reset(error_code) is status
    assert status_from_reset(int(error_code)) is status
