"""The limit that a ladder derives from the results of its rungs."""

from echo.probe.ladder import Ladder
from echo.probe.talk import Cut


def test_a_rung_that_ends_just_as_all_is_cut_off_does_not_speak_of_silence() -> None:
    ladder = Ladder([1.0, 2.0], {5.0: Cut("silence", 5.0), 6.0: Cut("reset", 5.1)})
    assert ladder.cut == Cut("reset", 5.1)
    assert (ladder.limit, ladder.sound) == (5.1, True)


def test_what_is_dropped_in_silence_lies_between_two_rungs() -> None:
    ladder = Ladder([1.0, 2.0], {5.0: Cut("silence", 5.0), 10.0: Cut("reset", 9.0)})
    assert ladder.cut == Cut("silence", 5.0)
    assert (ladder.limit, ladder.sound) == (2.0, True)


def test_what_outlives_a_cut_makes_it_unsound() -> None:
    assert not Ladder([1.0, 9.0], {5.0: Cut("reset", 3.0)}).sound
