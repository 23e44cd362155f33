"""A program that holds more and more objects is not stopped again and again to look for garbage among them."""

import gc
from typing import NoReturn

import pytest

from echo.cli import main

HELD = 1_000_000  # As many as 4,000 open WebSockets have.
SERVE = ["serve", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0"]


class Cycle:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.me = self


def test_full_collections_are_rare_while_a_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    full: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if info["generation"] == 2:
            full.append(phase)

    def hold_much(**_: object) -> NoReturn:
        gc.callbacks.append(note)
        try:
            held: list[object] = [[] for _ in range(HELD)]
            assert len(held) == HELD
        finally:
            gc.callbacks.remove(note)
        raise KeyboardInterrupt

    before = gc.get_threshold()
    monkeypatch.setattr("echo.cli.programs.echo_services", hold_much)
    assert main(SERVE) == 130
    assert not full
    assert gc.get_threshold() == before


def test_young_garbage_is_still_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def make_garbage(**_: object) -> NoReturn:
        for _number in range(100_000):
            Cycle()
        left.append(sum(isinstance(thing, Cycle) for thing in gc.get_objects()))
        raise KeyboardInterrupt

    monkeypatch.setattr("echo.cli.programs.echo_services", make_garbage)
    assert main(SERVE) == 130
    assert left[0] < 10_000
