"""The simulation with few pods: no call is lost, and each way of choosing spreads connections as the page says."""

from pathlib import Path

import pytest

from tests.scale.pods import Order
from tests.scale.scenarios import LATER, RESTARTED, SCALED, START, Clients, Seen, Size, Way, restart, run, scale_up
from tests.scale.spread import Spread
from tests.scale.table import markdown
from tests.support.pages import END, begin, put

AGE = 400.0
FEW = Size(4, {"pick_first": Clients(30, every=60), "round_robin": Clients(5, every=10)}, wait=2 * AGE)


@pytest.mark.parametrize("age", [None, AGE])
def test_round_robin_is_even_before_and_after_a_rolling_restart(age: float | None) -> None:
    seen = run(restart, Way("round_robin", "shuffled", age), FEW)
    assert seen.lost == []
    for moment in (START, RESTARTED, LATER):
        assert_even(seen, moment, age)


@pytest.mark.parametrize("age", [None, AGE])
def test_round_robin_finds_new_pods_as_connections_come_of_age(age: float | None) -> None:
    seen = run(scale_up, Way("round_robin", "shuffled", age), FEW)
    assert seen.lost == []
    assert seen.moments[START].connections == (5, 5)
    if age is None:
        assert seen.moments[LATER].connections == (5, 5, 0, 0)
        assert seen.share_after is None
    else:
        assert_even(seen, LATER, age)
        assert seen.share_after is not None


def assert_even(seen: Seen, moment: str, age: float | None) -> None:
    """Every client has a connection to every pod, but for those that are just being replaced for their age."""
    if age is None:
        assert seen.moments[moment].connections == (5, 5, 5, 5)
        assert seen.moments[moment].loads == pytest.approx([1, 1, 1, 1])
    else:
        assert min(seen.moments[moment].connections) >= 3
        assert seen.moments[moment].busiest < 1.4


@pytest.mark.parametrize("age", [None, AGE])
def test_so_does_pick_first_where_addresses_are_shuffled(age: float | None) -> None:
    seen = run(scale_up, Way("pick_first", "shuffled", age), FEW)
    assert seen.lost == []
    *_, third, fourth = seen.moments[LATER].connections
    if age is None:
        assert third == fourth == 0
        assert seen.share_after is None
    else:
        assert 2 <= third + fourth <= 28  # Fifteen of thirty, about.


@pytest.mark.parametrize(("order", "busiest"), [("same for all", 4), ("shuffled", 3)])
def test_a_rolling_restart_loses_no_call_with_pick_first(order: Order, busiest: float) -> None:
    seen = run(restart, Way("pick_first", order, None), FEW)
    assert seen.lost == []
    assert seen.calls > 500
    if order == "shuffled":
        assert seen.moments[START].busiest < busiest
    else:
        assert seen.moments[START].connections == (30, 0, 0, 0)
        assert seen.moments[LATER].busiest == busiest


def test_tables_tell_of_connections_and_of_calls_that_were_lost() -> None:
    even, uneven = Spread(300, (5, 5), (1, 1)), Spread(600, (6, 3, 0), (2, 1, 0))
    restarted = Seen({START: even, RESTARTED: uneven, LATER: even}, [uneven], None, 1_000)
    scaled = Seen({START: even, SCALED: uneven, LATER: even}, [], 90, 1_000, ["UNAVAILABLE refused"])
    found = {
        "restart": {Way("round_robin", "shuffled", None): restarted},
        "scale-up": {Way("pick_first", "shuffled", AGE): scaled},
    }
    text = markdown(found, FEW)
    cells = "5 / 5 / 5, 0.00 | 0 / 3 / 6, 0.82 | 5 / 5 / 5, 0.00"
    assert f"| `round_robin` | shuffled | none | {cells} | 2.0 times the mean | 1,000 | 0 |" in text
    assert f"| `pick_first` | shuffled | 7 min | {cells} | after 2 min | 1,000 | 1 |" in text


def test_what_a_command_writes_takes_the_place_of_what_it_wrote(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{begin('one')}\nold\n{END}\n\n{begin('two')}\n{END}\n\nafter\n")
    put("new", "one", page)
    put("more", "two", page)
    assert page.read_text() == (
        f"before\n\n{begin('one')}\n\nnew\n\n{END}\n\n{begin('two')}\n\nmore\n\n{END}\n\nafter\n"
    )
    with pytest.raises(ValueError, match="needs one block"):
        put("new", "three", page)
