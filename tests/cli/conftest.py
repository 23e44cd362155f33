"""What tests of the command line share: no settings from outside, and pytest's logging back afterwards."""

import os
from collections.abc import Iterator

import pytest

from tests.support.logging_state import logging_restored
from tests.support.process import environment


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
    with logging_restored():
        yield
