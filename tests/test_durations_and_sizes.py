"""Durations and sizes as settings write them: what is written reads as the same value."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echo.configuration.values import format_duration, format_size, to_duration, to_size


@given(st.integers(min_value=0, max_value=292 * 365 * 86400 * 10**9))
@example(0)
@example(1)
@example(292 * 365 * 86400 * 10**9)
def test_a_duration_written_out_reads_as_the_same_duration(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9
    assert to_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.5, "500ms"),
        (5400, "1h30m"),
        (90.25, "1m30s250ms"),
        (3e-9, "3ns"),
        (2e-6, "2us"),
        (7200, "2h"),
    ],
)
def test_a_duration_is_written_as_go_would_without_empty_parts(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from([("h", 3600), ("m", 60), ("s", 1), ("ms", 0.001)])),
        min_size=1,
        max_size=4,
    )
)
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, tuple[str, float]]]) -> None:
    text = "".join(f"{count}{unit}" for count, (unit, _) in parts)
    expected = sum(count * seconds for count, (_, seconds) in parts)
    if expected <= 292 * 365 * 86400:
        assert to_duration(text) == pytest.approx(expected)


@given(st.integers(min_value=1, max_value=2**32 - 1))
@example(1000)
@example(1024)
@example(4 * 2**20)
def test_a_size_written_out_reads_as_the_same_size(size: int) -> None:
    assert to_size(format_size(size)) == size
    assert to_size(str(size)) == size
