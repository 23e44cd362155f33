"""`grpc-timeout`: written so that no deadline is late, and read as the grammar has it."""

import math
import re
from decimal import localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echo.wire.timeout import decode_timeout, encode_timeout

YEAR = 365 * 24 * 3600.0


@pytest.mark.parametrize(
    ("seconds", "encoded"),
    [
        (1e-9, "1n"),
        (0.05, "50000000n"),
        (0.3, "300000u"),
        (1, "1000000u"),
        (10.9, "10900000u"),
        (15.0, "15000000u"),
        (99.999999, "99999999u"),
        (100.0, "100000m"),
        (99_999.999, "99999999m"),
        (100_000.0, "100000S"),
        (99_999_999.0, "99999999S"),
        (100_000_000.0, "1666666M"),
        (99_999_999 * 60.0, "99999999M"),
        (100_000_000 * 60.0, "1666666H"),
    ],
)
def test_the_finest_unit_that_fits_eight_digits_is_taken(seconds: float, encoded: str) -> None:
    assert encode_timeout(seconds) == encoded


@pytest.mark.parametrize("seconds", [0.0, -0.0, 0, -1e-12, -5.0, -math.inf])
def test_an_expired_timeout_is_encoded_as_zero(seconds: float) -> None:
    assert encode_timeout(seconds) == "0n"


@pytest.mark.parametrize("seconds", [1e-10, 9.99e-10, 5e-324])
def test_a_positive_timeout_is_never_encoded_as_zero(seconds: float) -> None:
    assert encode_timeout(seconds) == "1n"


@pytest.mark.parametrize("seconds", [math.inf, 1e300, 1e18, 99_999_999 * 3600, 10**400], ids=lambda _: "")
def test_a_timeout_too_long_to_express_becomes_the_longest(seconds: float) -> None:
    assert encode_timeout(seconds) == "99999999H"


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a number"):
        encode_timeout(math.nan)


def test_the_precision_of_an_applications_own_decimals_does_not_matter() -> None:
    with localcontext(prec=2):
        assert encode_timeout(12.345678) == "12345678u"


@given(st.floats(min_value=1e-9, max_value=12_000 * YEAR))
@example(99_999_999.0)
@example(99_999_999.999999)
@example(math.nextafter(99_999_999 * 3600.0, 0))
def test_a_decoded_timeout_is_never_longer_and_barely_shorter(seconds: float) -> None:
    encoded = encode_timeout(seconds)
    assert re.fullmatch(r"[0-9]{1,8}[HMSmun]", encoded)
    read = decode_timeout(encoded.encode())
    assert 0 < read <= seconds
    if seconds < 99_999_999 * 3600:
        # Seven digits at least are kept, or (from units of a minute on) whole minutes and hours, or nanoseconds.
        assert seconds - read <= max(1e-9, seconds * 1e-5)


@given(st.integers(100_000, 99_999_999))
@example(300_000)
@example(1_005_000)
@example(64_100_001)
def test_microseconds_are_counted_exactly(count: int) -> None:
    seconds = count / 1_000_000
    assert encode_timeout(seconds) == f"{count}u"
    assert encode_timeout(math.nextafter(seconds, math.inf)) == f"{count}u"
    if count > 100_000:
        assert encode_timeout(math.nextafter(seconds, 0)) == f"{count - 1}u"


@given(st.integers(0, 99_999_999), st.sampled_from("HMSmun"))
def test_any_timeout_a_peer_can_send_is_read_and_sent_on_unchanged_in_length(count: int, unit: str) -> None:
    seconds = decode_timeout(f"{count}{unit}".encode())
    assert decode_timeout(encode_timeout(seconds).encode()) == pytest.approx(seconds, rel=1e-6)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1H", 3600.0),
        ("2M", 120.0),
        ("3S", 3.0),
        ("500m", 0.5),
        ("7u", 7e-6),
        ("1n", 1e-9),
        ("0n", 0.0),
        ("0S", 0.0),
        ("00000010S", 10.0),
        ("99999999H", 99_999_999 * 3600.0),
    ],
)
def test_every_unit_is_read(value: str, seconds: float) -> None:
    assert decode_timeout(value.encode()) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "S",
        "1",
        "1s",
        "1h",
        "-1S",
        "+1S",
        "1.5S",
        "1e3S",
        " 1S",
        "1S ",
        "1S\n",
        "1 S",
        "1SS",
        "123456789S",
        "٣S",
        "²S",
        "1_0S",
    ],
)
def test_anything_outside_the_grammar_is_a_value_error(value: str) -> None:
    with pytest.raises(ValueError, match="malformed grpc-timeout"):
        decode_timeout(value.encode())


def test_the_error_quotes_only_the_beginning_of_a_long_header() -> None:
    with pytest.raises(ValueError, match="malformed grpc-timeout") as caught:
        decode_timeout(b"1" * 100_000)
    assert len(str(caught.value)) < 100


@given(st.binary() | st.text().map(str.encode))
def test_any_header_is_a_timeout_or_a_value_error(value: bytes) -> None:
    try:
        seconds = decode_timeout(value)
    except ValueError:
        return
    assert 0 <= seconds <= 99_999_999 * 3600
