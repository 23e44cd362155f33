"""JSON in and out: exactly as the contract says, for any input."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echo.gateway.messages import (
    HALF_CLOSE,
    INVALID_MESSAGE,
    Incoming,
    InvalidMessageError,
    decode_message,
    encode_response,
)
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def message(stream_id: str = "", number: int = 0, timestamp: int = 0, text: str = "") -> Incoming:
    return Incoming(StreamMessage(stream_id, number, timestamp, text), False)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"stream_id":"a","sequence_number":1,"timestamp":0,"message":"hi"}', message("a", 1, 0, "hi")),
        ("{}", message()),
        ('{"streamId":"a","sequenceNumber":"1","timestamp":"-5","message":"hi"}', message("a", 1, -5, "hi")),
        ('{"stream_id":"a","other":[1,{"x":null}]}', message("a")),
        ('{"stream_id":null,"sequence_number":null}', message()),
        ('{"sequence_number":9223372036854775807}', message(number=2**63 - 1)),
        ('{"sequence_number":"-9223372036854775808"}', message(number=-(2**63))),
        (' {"message":"\\u00e9\\n"} ', message(text="é\n")),
        (b'{"message":"binary"}', message(text="binary")),
        ("", HALF_CLOSE),
        (b"", HALF_CLOSE),
        ('{"half_close":true}', HALF_CLOSE),
        ('{"halfClose":true}', HALF_CLOSE),
        ('{"half_close":false,"message":"x"}', message(text="x")),
        ('{"half_close":true,"stream_id":"a"}', Incoming(StreamMessage("a"), True)),
    ],
)
def test_what_is_understood(data: str | bytes, expected: Incoming) -> None:
    assert decode_message(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        "garbage",
        "[]",
        "1",
        "null",
        '"text"',
        "{",
        '{"stream_id":1}',
        '{"message":true}',
        '{"message":["x"]}',
        '{"sequence_number":1.5}',
        '{"sequence_number":true}',
        '{"sequence_number":"1.0"}',
        '{"sequence_number":" 1"}',
        '{"sequence_number":"1_0"}',
        '{"sequence_number":"٣"}',
        '{"sequence_number":""}',
        '{"sequence_number":9223372036854775808}',
        '{"sequence_number":"9223372036854775808"}',
        '{"timestamp":-9223372036854775809}',
        '{"timestamp":1e400}',
        '{"timestamp":' + "9" * 5_000 + "}",
        '{"timestamp":NaN}',
        '{"half_close":1}',
        '{"message":"\\ud800"}',
        b'{"message":"\xff"}',
        b"\xff\xfe",
        "[" * 100_000,
        '{"a":' * 50_000,
    ],
)
def test_what_is_not(data: str | bytes) -> None:
    with pytest.raises(InvalidMessageError):
        decode_message(data)


@given(st.one_of(st.binary(), st.text()))
@example("\ud800")
def test_whatever_comes_is_a_message_or_the_one_error(data: str | bytes) -> None:
    try:
        incoming = decode_message(data)
    except InvalidMessageError:
        return
    if incoming.message is not None:
        bytes(incoming.message)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    ["stream_id", "streamId", "sequence_number", "sequenceNumber", "timestamp", "message", "half_close", "x"]
)


@given(st.dictionaries(names, json_values))
def test_whatever_types_come_give_a_message_or_the_one_error(value: dict[str, object]) -> None:
    try:
        incoming = decode_message(json.dumps(value))
    except InvalidMessageError:
        return
    if incoming.message is not None:
        bytes(incoming.message)


@given(TEXT, INT64, INT64, TEXT, st.booleans())
def test_json_goes_out_byte_for_byte(stream_id: str, number: int, timestamp: int, text: str, success: bool) -> None:
    sent = encode_response(StreamResponse(stream_id, number, timestamp, text, success))
    expected = {
        "stream_id": stream_id,
        "sequence_number": number,
        "timestamp": timestamp,
        "response": text,
        "success": success,
    }
    assert json.loads(sent) == expected
    if not any(ord(character) < 0x20 or ord(character) == 0x7F for character in stream_id + text):
        assert sent == json.dumps(expected, separators=(",", ":"), ensure_ascii=False)


def test_the_contract_s_own_examples() -> None:
    response = StreamResponse("a", 1, 1_700_000_000_000_000_000, "from server: hi", True)
    assert encode_response(response) == (
        '{"stream_id":"a","sequence_number":1,"timestamp":1700000000000000000,'
        '"response":"from server: hi","success":true}'
    )
    assert encode_response(StreamResponse(response="<é✓>")) == (
        '{"stream_id":"","sequence_number":0,"timestamp":0,"response":"<é✓>","success":false}'
    )
    assert INVALID_MESSAGE == (
        '{"stream_id":"","sequence_number":0,"timestamp":0,"response":"invalid message format","success":false}'
    )
