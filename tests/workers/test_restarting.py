"""When the supervisor starts a worker again, in virtual time: at once, after a pause, or not at all."""

from math import inf

import pytest
import trio
import trio.testing

from echo.workers import NoWorkersError, Supervisor, WorkerExitedError
from echo.workers import supervisor as under_test
from echo.workers.placement import Placement
from echo.workers.worker import Worker


@pytest.mark.parametrize(
    ("lives", "starts", "gives_up"),
    [
        ([1, 1, 1, 1, inf], [0, 1, 2.5, 4.5, 7.5], False),
        ([1, 1, 20, 1, inf], [0, 1, 2.5, 22.5, 24], False),
        ([20, 20, 20, inf], [0, 20, 40, 60], False),
        ([1, 1, 1, 1, 1], [0, 1, 2.5, 4.5, 7.5], True),
        ([20, 0, 0, 0, 0], [0, 20, 20.5, 21.5, 23.5], True),
        ([20, 0, 0, 0, inf], [0, 20, 20.5, 21.5, 23.5], False),
    ],
    ids=[
        "it keeps dying",
        "it is stable for a while",
        "it is stable",
        "five die young",
        "four do not start",
        "the last",
    ],
)
async def test_the_pause_before_a_worker_starts_again_depends_on_how_long_the_last_ones_served(
    lives: list[float],
    starts: list[float],
    gives_up: bool,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``lives`` are the seconds that one after another serves; 0 if it does not even start."""
    seen = []

    class Mortal(Worker):
        async def run(self, *_: object, task_status: trio.TaskStatus["Worker"] = trio.TASK_STATUS_IGNORED) -> None:
            seen.append(trio.current_time())
            life = lives[len(seen) - 1]
            if not life:
                raise WorkerExitedError(1)
            self._placement.add(self)
            task_status.started(self)
            await trio.sleep(life)
            self._placement.remove(self)
            self.exited.set()
            self.needs_replacement.set()

    monkeypatch.setattr(under_test, "Worker", Mortal)
    ended = None
    with trio.move_on_after(100):
        try:
            await Supervisor([], [], 1, 0).run(trio.sleep_forever)
        except* NoWorkersError as error:
            ended = error
    assert seen == starts
    assert (ended is not None) == gives_up


async def test_a_worker_is_given_no_connection_of_a_listener_that_is_closed_for_it() -> None:
    worker = Worker(Placement())
    worker.closed.add(0)
    assert [worker.accepts(listener) for listener in (0, 1)] == [False, True]
