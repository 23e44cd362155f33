"""Held under load: ``python -m tests.soak [--short | --long] [--only NAME]``.

Runs echo's real processes under load and through faults, each many times, and checks from outside and inside what must
hold. Progress is shown on standard error; tables in Markdown come last, on standard output. The exit status is 1 if
something did not hold; the last lines name it. Run as little else as possible meanwhile.
"""

import argparse
import os
import platform
import resource
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

import trio

from tests.soak import breaks, churn, fuzz, load, pairs, restarts, silence, slow_reader, workers
from tests.soak.report import Report
from tests.soak.scale import DEFAULT, LONG, SHORT, Scale

Scenario = Callable[[Scale, Report], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {
    "load": load.run,
    "memory": load.memory,
    "breaks": breaks.run,
    "silence": silence.run,
    "kills": restarts.kills,
    "drains": restarts.drains,
    "stops": restarts.stops,
    "workers": workers.run,
    "slow-reader": slow_reader.run,
    "churn": churn.run,
    "pairs": pairs.run,
    "fuzz": fuzz.run,
}


def raise_file_limit() -> None:
    """A thousand connections take as many descriptors, here and in the server, which inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def soak(names: list[str], scale: Scale, report: Report) -> None:
    """Run the scenarios, one after the other; one that fails does not keep the others from being run."""
    for name in names:
        began = time.monotonic()
        try:
            await SCENARIOS[name](scale, report)
        except Exception as error:  # noqa: BLE001 - Whatever it is, it is reported, and the others run.
            report.promise(False, f"{name} could not be run to its end: {error!r}")
            traceback.print_exception(error)
        report.progress(f"{name}: done in {time.monotonic() - began:.0f} s", "\n")


async def until_interrupted(names: list[str], scale: Scale, report: Report) -> None:
    """Run the scenarios; the first SIGINT or SIGTERM ends that, and what was found so far is reported."""

    async def watch(signals: AsyncIterator[int]) -> None:
        number = await anext(signals)
        report.promise(False, f"all scenarios are run: {signal.Signals(number).name} came")
        nursery.cancel_scope.cancel()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, signals)
            await soak(names, scale, report)
            nursery.cancel_scope.cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", action="store_const", const=SHORT, dest="scale", help="within a minute")
    size.add_argument(
        "--long", action="store_const", const=LONG, dest="scale", help="a million calls, sockets held 10 min"
    )
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="only this one; may be repeated")
    chosen = parser.parse_args(arguments)
    raise_file_limit()
    report = Report()
    began = time.monotonic()
    trio.run(partial(until_interrupted, chosen.only or list(SCENARIOS), chosen.scale or DEFAULT, report))
    print(report)
    print(f"\n{time.monotonic() - began:.0f} s, Python {platform.python_version()}, {os.cpu_count()} cores")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
