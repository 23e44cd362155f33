"""What tests of the command line share: no settings from outside, and pytest's logging and SIGHUP back afterwards."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.support.logging_state import logging_restored
from tests.support.process import environment


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
    hangup = signal.getsignal(signal.SIGHUP)
    with logging_restored():
        yield
    signal.signal(signal.SIGHUP, hangup)  # Programs may ignore it, and so would all that tests start.
