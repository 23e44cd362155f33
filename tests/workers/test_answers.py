"""What workers collect, as it reaches their parent."""

import os
import signal
from pathlib import Path

import pytest
import trio

from echo.workers import answers
from echo.workers.messages import FINAL_ANSWER, AnswerPart
from tests.support.supervised import supervised, until

pytestmark = [pytest.mark.usefixtures("nothing_left")]


async def test_a_worker_that_does_not_answer_counts_with_its_previous_answer(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        stopped, other = running.pids
        os.kill(stopped, signal.SIGSTOP)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(running.supervisor.ask_all, 60)
                await until(lambda: any(worker.answers.latest is not None for worker in running.supervisor.workers))
                nursery.cancel_scope.cancel()
            for _ in range(3):
                assert {int(answer) for answer in await running.supervisor.ask_all(0.2)} == {other}
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert {int(answer) for answer in await running.supervisor.ask_all(20)} == running.pids
        os.kill(stopped, signal.SIGSTOP)
        try:
            assert {int(answer) for answer in await running.supervisor.ask_all(0.2)} == running.pids
        finally:
            os.kill(stopped, signal.SIGCONT)


async def test_a_worker_s_final_answer_is_kept_however_it_ends(tmp_path: Path) -> None:
    async with supervised(tmp_path) as running:
        killed, other = running.pids
        await running.supervisor.ask_all(20)
        os.kill(killed, signal.SIGKILL)
        await until(lambda: running.final_answers == [b"%d" % killed])
        await running.until(2, {killed})
        (asked_never,) = running.pids - {other}
        running.stop.set()
        await running.ended.wait()
        assert sorted(running.final_answers[1:]) == sorted(b"%d" % pid for pid in (other, asked_never))


async def test_what_a_worker_sent_before_it_ended_counts_though_it_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with supervised(tmp_path, 1) as running:
        (worker,) = running.supervisor.workers
        monkeypatch.setattr(worker._channel, "receive", trio.sleep_forever)  # A busy parent, which gets to it too late.
        os.kill(os.getpid(), signal.SIGHUP)
        await running.until(1, {worker.pid})
        assert running.final_answers == [b"%d" % worker.pid]


async def test_the_parts_of_a_final_answer_are_put_together_whatever_comes_between_them() -> None:
    asked = answers.Answers()
    asked.add(AnswerPart(FINAL_ANSWER, b"one ", last=False))
    asked.add(AnswerPart(1, b"late", last=True))
    asked.add(AnswerPart(FINAL_ANSWER, b"two", last=True))
    assert asked.latest == b"one two"


@pytest.mark.parametrize("size", [0, 1, 32 * 1024, 32 * 1024 + 1, 1_000_000])
async def test_answers_of_any_size_arrive_complete(size: int, tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(str(size))
    async with supervised(tmp_path, 1) as running:
        assert [len(answer) for answer in await running.supervisor.ask_all(20)] == [size]


async def test_an_answer_that_is_too_large_is_dropped_and_the_next_one_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWER", 99_999)
    (tmp_path / "answer").write_text("100000")
    async with supervised(tmp_path, 1) as running:
        assert await running.supervisor.ask_all(20) == []
        monkeypatch.setattr(answers, "MAX_ANSWER", 100_000)
        assert [len(answer) for answer in await running.supervisor.ask_all(20)] == [100_000]
