"""``grpc-timeout``: at most eight digits and a unit (gRPC over HTTP/2, "Requests": Timeout)."""

from typing import Final

_LARGEST: Final = 99_999_999

# From the finest to the coarsest, in nanoseconds.
_UNITS: Final = {
    "n": 1,
    "u": 10**3,
    "m": 10**6,
    "S": 10**9,
    "M": 60 * 10**9,
    "H": 3600 * 10**9,
}
_SIZES: Final = {unit.encode(): size for unit, size in _UNITS.items()}
_SECOND: Final = 10**9
_DIGITS: Final = 8


def encode_timeout(seconds: float) -> str:
    """Encode a time in the finest unit that holds it in eight digits.

    The result is never longer than ``seconds``, with one exception: less than a nanosecond becomes ``1n``, since
    ``0n`` means that the time has run out. A time that no unit holds (about 11,400 years, and infinity) becomes the
    longest that can be expressed.

    Args:
        seconds: How long the call may take from now on; zero or less means that its time has run out.

    Raises:
        ValueError: ``seconds`` is NaN.
    """
    if seconds != seconds:  # True only for NaN; math.isnan would fail on an int too large for a float.
        raise ValueError("a timeout must be a number")
    if seconds <= 0:
        return "0n"
    nanoseconds = seconds * _SECOND
    for unit, size in _UNITS.items():
        if nanoseconds < (_LARGEST + 1) * size:
            count = int(nanoseconds / size)  # Or one too many or too few, as both operations round.
            if count * size / _SECOND > seconds:
                count -= 1
            elif (count + 1) * size / _SECOND <= seconds:
                count += 1
            if count <= _LARGEST:
                return f"{count or 1}{unit}"
    return f"{_LARGEST}H"


def decode_timeout(value: bytes) -> float:
    """Decode the value of a field, in seconds.

    Raises:
        ValueError: The value is not one to eight digits and one of ``H M S m u n``.
    """
    count, unit = value[:-1], _SIZES.get(value[-1:])
    if unit is None or len(count) > _DIGITS or not count.isdigit():
        raise ValueError(f"malformed grpc-timeout {value[:32].decode('latin-1')!r}")
    # A single division rounds once, so decoding never gives more than was encoded.
    return int(count) * unit / _SECOND
