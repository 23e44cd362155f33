"""Compressing and inflating: within the limit, whatever the bytes are."""

import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.wire.compression import ACCEPT_ENCODING, SUPPORTED, accepts, compress, decompress, known_encoding
from echo.wire.status import GRPCError, Status

MIB = 1024 * 1024


def refusal(encoding: str, data: bytes, limit: int) -> GRPCError:
    """How the data is refused."""
    with pytest.raises(GRPCError) as caught:
        decompress(encoding, data, limit)
    return caught.value


def test_the_announced_encodings_are_the_supported_ones() -> None:
    assert ACCEPT_ENCODING == "identity,gzip"
    assert SUPPORTED == ("identity", "gzip")


@given(st.sampled_from(SUPPORTED), st.binary())
def test_a_message_of_exactly_the_limit_survives_a_round_trip(encoding: str, data: bytes) -> None:
    assert decompress(encoding, compress(encoding, data), len(data)) == data


def test_gzip_is_what_other_implementations_read_and_write() -> None:
    data = b"hello " * 1000
    assert gzip.decompress(compress("gzip", data)) == data
    assert len(compress("gzip", data)) < 100
    assert decompress("gzip", gzip.compress(data), len(data)) == data


def test_gzip_with_the_longest_back_references_is_decoded() -> None:
    data = random.Random(1).randbytes(30_000) * 2
    assert len(gzip.compress(data)) < 40_000
    assert decompress("gzip", gzip.compress(data), len(data)) == data
    assert len(compress("gzip", data)) < 40_000


def test_a_message_as_large_as_the_limit_passes_and_one_byte_more_does_not() -> None:
    data = bytes(range(256)) * 1000
    for encoding in SUPPORTED:
        assert decompress(encoding, compress(encoding, data), 256_000) == data
        assert refusal(encoding, compress(encoding, data), 255_999).status is Status.RESOURCE_EXHAUSTED


def test_an_uncompressed_message_that_is_too_large_is_refused_with_both_sizes() -> None:
    assert refusal("identity", bytes(11), 10).message == "message of 11 bytes exceeds the limit of 10"


def test_a_limit_of_zero_admits_only_empty_messages() -> None:
    assert decompress("gzip", compress("gzip", b""), 0) == b""
    assert refusal("gzip", compress("gzip", b"x"), 0).status is Status.RESOURCE_EXHAUSTED


def test_a_bomb_is_refused_without_inflating_it() -> None:
    deflater = zlib.compressobj(9, wbits=31)
    bomb = b"".join(deflater.compress(bytes(MIB)) for _ in range(256)) + deflater.flush()
    assert len(bomb) < MIB  # 256 MiB in there.
    tracemalloc.start()
    error = refusal("gzip", bomb, 2 * MIB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.status is Status.RESOURCE_EXHAUSTED
    assert error.message == "decompressed message exceeds the limit of 2097152"
    assert peak < 8 * MIB


def test_consecutive_gzip_members_are_one_message_within_one_limit() -> None:
    data = compress("gzip", b"a" * 600) + compress("gzip", b"") + compress("gzip", b"b" * 400)
    assert decompress("gzip", data, 1000) == b"a" * 600 + b"b" * 400
    assert refusal("gzip", data, 999).status is Status.RESOURCE_EXHAUSTED


def test_many_bombs_in_a_row_share_one_limit() -> None:
    bombs = compress("gzip", bytes(MIB)) * 100
    tracemalloc.start()
    error = refusal("gzip", bombs, 2 * MIB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.status is Status.RESOURCE_EXHAUSTED
    assert peak < 8 * MIB


def test_empty_gzip_members_cost_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    inflater = zlib.decompressobj
    read = 0

    class Counting:
        """Counts the bytes zlib is given: it copies the bytes after a member, which must be given to it again."""

        def __init__(self, wbits: int) -> None:
            self._inflater = inflater(wbits)

        def decompress(self, data: bytes, max_length: int) -> bytes:
            nonlocal read
            read += len(data)
            return self._inflater.decompress(data, max_length)

        @property
        def eof(self) -> bool:
            return self._inflater.eof

        @property
        def unused_data(self) -> bytes:
            return self._inflater.unused_data

    def read_for(members: int) -> int:
        nonlocal read
        read = 0
        assert decompress("gzip", compress("gzip", b"") * members, 10) == b""
        return read

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    few = read_for(1_000)
    assert few > 0
    assert read_for(16_000) <= 17 * few  # Quadratic would be 256 times as much.


@given(st.binary(min_size=1), st.data())
def test_a_message_cut_anywhere_is_refused(payload: bytes, data: st.DataObject) -> None:
    whole = compress("gzip", payload)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    error = refusal("gzip", cut, 1000 + len(payload))
    assert (error.status, error.message) == (Status.INTERNAL, "compressed message is cut short")


@given(st.binary(), st.binary(min_size=1).filter(lambda tail: not tail.startswith(b"\x1f")))
def test_data_after_the_compressed_message_is_refused(payload: bytes, tail: bytes) -> None:
    assert refusal("gzip", compress("gzip", payload) + tail, len(payload)).status is Status.INTERNAL


@given(st.binary())
def test_garbage_is_refused_whatever_it_is(garbage: bytes) -> None:
    assert refusal("gzip", garbage, 1000).status is Status.INTERNAL


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_flipped_bit_is_never_another_message(payload: bytes, data: st.DataObject) -> None:
    damaged = bytearray(compress("gzip", payload))
    bit = data.draw(st.integers(0, len(damaged) * 8 - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    outcome: bytes | Status
    try:
        outcome = decompress("gzip", bytes(damaged), 1000)
    except GRPCError as error:
        outcome = error.status
    # Some bits of the header mean nothing to the content.
    assert outcome in (payload, Status.INTERNAL, Status.RESOURCE_EXHAUSTED)


def test_zlib_and_raw_deflate_are_not_gzip() -> None:
    assert refusal("gzip", zlib.compress(b"hello"), 100).status is Status.INTERNAL


def test_an_unannounced_encoding_is_refused() -> None:
    assert refusal("br", b"", 100).status is Status.UNIMPLEMENTED
    with pytest.raises(ValueError, match="'br' is not supported"):
        compress("br", b"")


@pytest.mark.parametrize(
    ("accepted", "reads_gzip"),
    [
        ("gzip", True),
        ("identity,gzip", True),
        ("identity, deflate, gzip", True),
        ("", False),
        ("identity", False),
        ("deflate,x-gzip", False),
        ("GZIP", False),
    ],
)
def test_accepts_follows_the_peer_s_grpc_accept_encoding(accepted: str, reads_gzip: bool) -> None:
    assert accepts(accepted, "gzip") is reads_gzip
    assert accepts(accepted, "identity")


def test_an_unknown_encoding_for_sending_is_refused() -> None:
    assert [known_encoding(name) for name in (None, "identity", "gzip")] == ["identity", "identity", "gzip"]
    with pytest.raises(ValueError, match="'deflate' is not one of identity, gzip"):
        known_encoding("deflate")
