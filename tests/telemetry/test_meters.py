"""What a process says of itself: its descriptors, and the lines that its access log has dropped."""

import os
from contextlib import suppress
from typing import TextIO

from echo.access_log import AccessLog, Entry
from echo.outlet import Outlet
from echo.telemetry.meters import Meters


def value(meters: Meters, name: str) -> float:
    (metric,) = [one for one in meters.snapshot().metrics if one.name == name]
    (point,) = metric.points
    return point.value


def test_open_descriptors_are_counted_to_the_last_one() -> None:
    descriptors = 0
    for number in range(10_000):
        with suppress(OSError):
            os.fstat(number)
            descriptors += 1
    assert value(Meters("test"), "process.open_fds") == descriptors


def test_lines_that_the_access_logs_drop_are_counted() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream: TextIO
    with os.fdopen(writer, "w") as stream:
        log = AccessLog(Outlet(stream), as_json=True)
        meters = Meters("test")
        meters.watch_log(None)
        meters.watch_log(log)
        assert value(meters, "echo.access_log.dropped_lines") == 0
        for _ in range(3):
            log.write(Entry("http"))
        assert value(meters, "echo.access_log.dropped_lines") == 3
