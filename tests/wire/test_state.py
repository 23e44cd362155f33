"""The states of a stream: every step from every state is allowed, or it is not (RFC 9113 §5.1)."""

import itertools
from typing import get_args

import pytest

from echo.wire.state import TRANSITIONS, State, Step
from echo.wire.stream import Stream

ALLOWED = {
    "idle": {"send HEADERS": "open", "recv HEADERS": "open"},
    "open": {
        "send HEADERS": "open",
        "send DATA": "open",
        "send end": "half-closed (local)",
        "send reset": "closed",
        "recv HEADERS": "open",
        "recv DATA": "open",
        "recv end": "half-closed (remote)",
        "recv reset": "closed",
    },
    "half-closed (local)": {
        "send reset": "closed",
        "recv HEADERS": "half-closed (local)",
        "recv DATA": "half-closed (local)",
        "recv end": "closed",
        "recv reset": "closed",
    },
    "half-closed (remote)": {
        "send HEADERS": "half-closed (remote)",
        "send DATA": "half-closed (remote)",
        "send end": "closed",
        "send reset": "closed",
        "recv reset": "closed",
    },
    "closed": {},
}


@pytest.mark.parametrize(("state", "step"), list(itertools.product(get_args(State), get_args(Step))))
def test_each_step_from_each_state(state: State, step: Step) -> None:
    stream = Stream(1, 100, 100, 100)
    stream.state = state
    if step in ALLOWED[state]:
        stream.step(step)
        assert stream.state == ALLOWED[state][step]
    else:
        with pytest.raises(KeyError):
            stream.step(step)
        assert stream.state == state


def test_the_table_has_a_row_for_each_state() -> None:
    assert set(TRANSITIONS) == set(get_args(State))


@pytest.mark.parametrize(
    ("state", "peer_ended"),
    [
        ("idle", False),
        ("open", False),
        ("half-closed (local)", False),
        ("half-closed (remote)", True),
        ("closed", True),
    ],
)
def test_in_which_states_the_peer_has_ended(state: State, peer_ended: bool) -> None:
    stream = Stream(1, 100, 100, 100)
    stream.state = state
    assert stream.peer_ended == peer_ended
