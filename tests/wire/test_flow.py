"""Flow control by itself (RFC 9113 §6.9)."""

from hypothesis import given
from hypothesis import strategies as st

from echo.wire.flow import ReceiveWindow, SendWindow
from echo.wire.frames import MAX_WINDOW


def test_data_beyond_the_window_is_neither_accepted_nor_counted() -> None:
    window = ReceiveWindow(100)
    assert window.receive(100)
    assert not window.receive(1)
    assert window.open == 0


def test_consumed_bytes_are_announced_in_halves_of_the_window() -> None:
    window = ReceiveWindow(100)
    assert window.receive(100)
    assert window.give_back(49) == 0
    assert window.give_back(1) == 50
    assert (window.open, window.credit) == (50, 0)


@given(st.integers(1, 1_000), st.lists(st.integers(0, 300)))
def test_no_byte_is_lost_or_invented(size: int, steps: list[int]) -> None:
    window = ReceiveWindow(size)
    held = 0
    for step in steps:
        if window.receive(step):
            held += step
        else:
            window.give_back(held)
            held = 0
        assert window.open + window.credit + held == size


def test_a_smaller_size_may_make_the_window_negative() -> None:
    window = ReceiveWindow(100)
    window.receive(80)
    window.resize(50)
    assert window.open == -30
    assert not window.receive(1)
    window.resize(100)
    assert window.open == 20


def test_a_window_for_sending_is_never_more_than_the_largest() -> None:
    window = SendWindow(10)
    assert window.widen(MAX_WINDOW - 10)
    assert not window.widen(1)
    assert window.open == MAX_WINDOW
    assert window.widen(-MAX_WINDOW - 5)
    assert window.open == -5
