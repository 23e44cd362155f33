"""What a peer sent cannot do anything to a terminal or a log, and cannot fill it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echo.printable import printable, printable_octets


@pytest.mark.parametrize("text", ["", "hi", "nö, 不行 100% 🙅", 'it\'s "quoted" \\n', "a" * 200])
def test_plain_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
    assert printable_octets(text.encode()) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nlevel=error", "a\\nlevel=error"),
        ("\r\t\0\x7f", "\\r\\t\\x00\\x7f"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("\u2066\u2069\u200b\ufeff", "\\u2066\\u2069\\u200b\\ufeff"),
        ("a\u2028b\u0085c", "a\\u2028b\\x85c"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_acts_on_a_display_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["a" * 11, "a" * 1_000_000, "\n" * 11, "\U000e0041" * 3])
def test_what_is_too_long_is_cut(text: str) -> None:
    shown = printable(text, 10)
    assert len(shown) == 10
    assert shown.endswith("…")


def test_octets_that_are_no_utf8_are_shown_as_such() -> None:
    assert printable_octets(b"caf\xe9 \xff") == "caf\ufffd \ufffd"


@given(st.text(st.characters()), st.integers(1, 300))
@example("\ud83d", 1)
def test_any_text_becomes_one_short_line_that_can_be_encoded(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    shown.encode()


@given(st.binary(), st.integers(1, 300))
def test_any_octets_become_one_short_line(octets: bytes, limit: int) -> None:
    shown = printable_octets(octets, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
