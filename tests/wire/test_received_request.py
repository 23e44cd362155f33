"""A request that starts as an earlier one did is read as it would be anyway, and only what is in order."""

from collections.abc import Iterable, Iterator, Sequence

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from echo.wire import received_request as module
from echo.wire.errors import MalformedError
from echo.wire.fields import check_request
from echo.wire.header_lists import Field
from echo.wire.hpack import Decoder
from echo.wire.metadata import Metadata, decode_metadata
from echo.wire.received_request import (
    MAX_NAMES,
    MAX_SIZE,
    MAX_STARTS,
    ReceivedRequest,
    parse_request,
    recognise,
)

START: list[Field] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/pkg.Service/Method"),
    (b":authority", b"here"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
    (b"user-agent", b"test"),
]
MESH: list[Field] = [(b"grpc-timeout", b"1S"), (b"x-request-id", b"1"), (b"x", b" 2"), (b"x", b"3"), (b"k-bin", b"AAE")]
OTHERS: list[Field] = [
    (b":path", b"/other"),
    (b":status", b"200"),
    (b"host", b"there"),
    (b"content-length", b"5"),
    (b"content-type", b"text/plain"),
    (b"grpc-encoding", b"gzip"),
    (b"grpc-encoding", b"unknown"),
    (b"grpc-timeout", b"soon"),
    (b"grpc-status", b"0"),
    (b"connection", b"close"),
    (b"Upper", b"1"),
    (b"x", b"a\r\nb"),
    (b"k-bin", b"?"),
    (b"te", b"gzip"),
]


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    module._read_start.cache_clear()
    module._read_names.cache_clear()
    yield
    module._read_start.cache_clear()
    module._read_names.cache_clear()


def read(fields: Sequence[Field], limit: int) -> ReceivedRequest | None:
    """What is read without recognising anything."""
    try:
        received = check_request(fields)
    except MalformedError:
        return None
    request = parse_request(received, limit)
    return request if isinstance(request, ReceivedRequest) and received.content_length is None else None


def in_order(fields: Iterable[Field]) -> list[Field]:
    """The same fields, with values that are in order."""
    values = {b"grpc-timeout": b"9S", b"k-bin": b"AAA", b"x": b"9"}
    return [(name, values.get(name, value)) for name, value in fields]


def test_what_starts_alike_is_recognised_with_its_own_deadline_and_metadata() -> None:
    for _ in range(2):
        assert recognise(START, 10_000) == read(START, 10_000)
    request = recognise([*START, *MESH], 10_000)
    assert request is not None
    assert request.timeout == 1
    assert list(request.metadata.items()) == [("x-request-id", "1"), ("x", "2"), ("x", "3"), ("k-bin", b"\0\1")]


@given(
    st.lists(st.sampled_from([*START, *MESH, *OTHERS]), max_size=3),
    st.integers(0, len(START)),
    st.lists(st.sampled_from([*MESH, *OTHERS]), max_size=4),
    st.integers(300, 800),
)
def test_what_is_recognised_is_read_as_it_would_be_anyway(
    within: list[Field], at: int, behind: list[Field], limit: int
) -> None:
    fields = [*START[:at], *within, *START[at:], *behind]
    expected = read(fields, limit)
    for known in (START, fields[: len(START) + 1], in_order(fields)):
        recognise(known, 10_000)
    assert recognise(fields, limit) in (None, expected)


@given(
    st.lists(st.lists(st.sampled_from([*MESH, *OTHERS]), max_size=4), min_size=2, max_size=5),
    st.integers(300, 800),
)
def test_a_start_recognised_by_its_block_gives_the_same_request(rests: list[list[Field]], limit: int) -> None:
    encoder, decoder = Encoder(), Decoder(100_000)
    decoder.decode(encoder.encode(START, huffman=False))
    start = encoder.encode(START, huffman=False)
    recognise(decoder.decode(start), 10_000)
    for rest in rests:
        recognise([*START, *in_order(rest)], 10_000)
        literals = (b"\0%c%b%c%b" % (len(name), name, len(value), value) for name, value in rest)
        fields = decoder.decode(start + b"".join(literals))
        assert [field[:2] for field in fields] == [*START, *rest]
        assert recognise(fields, limit) in (None, read([*START, *rest], limit))
        assert recognise(decoder.decode(start), 10_000) == read(START, 10_000)


def test_metadata_in_hpack_s_table_belongs_to_each_request() -> None:
    encoder, decoder = Encoder(), Decoder(100_000)
    fields = [*START, (b"x-a", b"1")]
    decoder.decode(encoder.encode(fields))  # They enter the table, so from now on they are indices.
    for _ in range(3):
        request = recognise(decoder.decode(encoder.encode(fields)), 10_000)
        assert request is not None
        assert list(request.metadata.items()) == [("x-a", "1")]


@given(st.lists(st.sampled_from(MESH[1:]), max_size=5), st.integers(0, 5))
def test_the_usual_is_always_recognised(behind: list[Field], at: int) -> None:
    fields = [*START, *behind[:at], MESH[0], *behind[at:]]
    recognise(in_order(fields), 10_000)
    assert recognise(fields, 10_000) == read(fields, 10_000)


@given(st.sampled_from([b"1S", b"2S"]), st.lists(st.sampled_from(MESH[1:]), max_size=5))
def test_a_timeout_right_behind_the_pseudo_header_fields_is_recognised(value: bytes, behind: list[Field]) -> None:
    """There gRPC recommends it."""
    fields = [*START[:4], (b"grpc-timeout", value), *START[4:], *behind]
    recognise(in_order(fields), 10_000)
    assert recognise(fields, 10_000) == read(fields, 10_000)


def test_a_malformed_timeout_is_refused_under_a_known_name() -> None:
    assert recognise([*START, (b"grpc-timeout", b"1S"), (b"x", b"1")], 10_000) is not None
    assert recognise([*START, (b"grpc-timeout", b"soon"), (b"x", b"1")], 10_000) is None


@pytest.mark.parametrize("value", [b"a\r", b"a\nb", b"\0"])
def test_a_forbidden_value_is_refused_under_a_known_name(value: bytes) -> None:
    assert recognise([*START, (b"x", b"1"), (b"y", b"2")], 10_000) is not None
    assert recognise([*START, (b"x", b"1"), (b"y", value)], 10_000) is None
    assert recognise([*START, (b"x", value), (b"grpc-timeout", b"1S")], 10_000) is None
    assert recognise([*START, (b"x", b"1"), (b"grpc-timeout", b"1S\n")], 10_000) is None


def test_metadata_is_found_by_its_prefix_whether_decoded_or_not() -> None:
    fields = [*START, (b"grpc-timeout", b"1S"), (b"x-a", b"1"), (b"y", b"2")]
    for request in (read(fields, 10_000), recognise(fields, 10_000)):
        assert request is not None
        for _ in range(2):
            assert request.has_metadata("x-")
            assert request.has_metadata("y")
            assert not request.has_metadata("grpc")
            assert not request.has_metadata("z")
            assert list(request.metadata.items()) == [("x-a", "1"), ("y", "2")]


@pytest.mark.parametrize(
    ("behind", "found"),
    [
        ([], b""),
        ([(b"other", b"1")], b""),
        ([(b"a", b"1"), (b"grpc-timeout", b"1S")], b"1"),
        ([(b"b", b"1")], None),
        ([(b"a", b"1"), (b"b", b"2")], None),
        ([(b"a", b"1"), (b"a", b"2")], None),
    ],
)
def test_a_lone_text_is_found_whether_metadata_is_decoded_or_not(behind: list[Field], found: bytes | None) -> None:
    fields = [*START, *behind]
    for request in (read(fields, 10_000), recognise(fields, 10_000)):
        assert request is not None
        assert request.lone_text((b"a", b"b")) == found
        assert request.metadata is not None
        assert request.lone_text((b"a", b"b")) == found


def test_metadata_is_decoded_only_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = [*START, (b"grpc-timeout", b"1S"), (b"x", b"1")]
    recognise(START, 10_000)
    decoded: list[Metadata] = []

    def decode(fields: Iterable[Field]) -> Metadata:
        decoded.append(decode_metadata(fields))
        return decoded[-1]

    monkeypatch.setattr(module, "decode_metadata", decode)
    request = recognise(fields, 10_000)
    assert request is not None
    assert request.timeout == 1
    assert not request.has_metadata("y")
    assert not decoded
    assert request.metadata is request.metadata
    assert list(request.metadata.items()) == [("x", "1")]
    assert len(decoded) == 1


def test_a_list_of_known_names_is_as_large_as_it_would_be_anyway() -> None:
    fields = [*START, (b"x-a", b"1"), (b"y", b"22")]
    size = sum(len(name) + len(value) + 32 for name, value in fields)  # RFC 9113 §6.5.2
    assert recognise(fields, size) is not None
    assert recognise(fields, size - 1) is None


def test_changed_metadata_of_one_request_is_not_that_of_the_next() -> None:
    fields = [*START, (b"x", b"1")]
    for _ in range(3):
        request = recognise(fields, 10_000)
        assert request is not None
        request.metadata.add("y", "2")
        assert list(request.metadata) == ["x", "y"]


def test_memory_of_names_is_bounded() -> None:
    for number in range(3 * MAX_NAMES):
        assert recognise([*START, (b"x-%d" % number, b"")], 10_000) is not None
    assert module._read_names.cache_info().currsize == MAX_NAMES
    module._read_names.cache_clear()
    unusual: list[list[Field]] = [
        [(b"x" * (MAX_SIZE - 31), b"")],  # With 32 for the field.
        [(b"grpc-timeout", b"1S"), (b"grpc-timeout", b"2S")],
        [(b"content-length", b"5")],
    ]
    for fields in unusual:
        assert recognise([*START, *fields], 10_000) is None
    assert module._read_names.cache_info().currsize == 0


def test_memory_is_bounded() -> None:
    for number in range(3 * MAX_STARTS):
        assert recognise([*START[:-1], (b"user-agent", b"%d" % number)], 10_000) is not None
    assert module._read_start.cache_info().currsize == MAX_STARTS
    module._read_start.cache_clear()
    assert recognise([*START[:-1], (b"user-agent", b"x" * MAX_SIZE)], 10_000) is None
    assert module._read_start.cache_info().currsize == 0
