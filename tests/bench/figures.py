"""What is measured, and how one sample is taken: a load, the process under it, and which of the two was busy."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

WARM_UP = 300  # Items that run before anything is counted.
CALIBRATION = 0.1  # Seconds, about, by which the size of a sample is found.


@dataclass(frozen=True)
class Plan:
    """How long everything takes.

    Attributes:
        rounds: Samples of each figure. Peers take turns within a round, so that the machine's moods hit them all.
        seconds: How long a sample takes, about.
    """

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Work:
    """What a load did.

    Attributes:
        load_ns: CPU time that the generator used.
        latencies: Nanoseconds of each item, where it was timed.
        elapsed_ns: How long the items took, for a load that prepared them first; 0 when all its time was theirs.
    """

    load_ns: int
    latencies: list[int] = field(default_factory=list)
    elapsed_ns: int = 0


@dataclass(frozen=True)
class Sample:
    """One run of a load.

    Attributes:
        cost: CPU time of the process under test for each item, in microseconds.
        rate: Items a second.
        busy: Share of the time that the process under test was on its core.
        load: The same of the load generator.
        p50, p99: Microseconds that an item took, where it was timed; else 0.
    """

    cost: float
    rate: float
    busy: float
    load: float
    p50: float = 0.0
    p99: float = 0.0


Load = Callable[[int], Work]
"""Runs so many items."""

Figures = dict[str, dict[str, list[Sample]]]
"""By what is measured, by peer: a sample for each round."""


def take(load: Load, items: int, cpu_ns: Callable[[], int]) -> Sample:
    """Run this many items and see what they cost the process whose CPU clock is given."""
    before, started = cpu_ns(), time.perf_counter_ns()
    work = load(items)
    elapsed, spent = work.elapsed_ns or time.perf_counter_ns() - started, cpu_ns() - before
    return Sample(
        cost=spent / items / 1e3,
        rate=items / elapsed * 1e9,
        busy=spent / elapsed,
        load=work.load_ns / elapsed,
        p50=percentile(work.latencies, 0.50) / 1e3,
        p99=percentile(work.latencies, 0.99) / 1e3,
    )


def timed(run: Callable[[int], list[int] | None]) -> Load:
    """A load that runs in this process, and may return the latencies of its items."""

    def load(items: int) -> Work:
        before = time.process_time_ns()
        latencies = run(items)
        return Work(time.process_time_ns() - before, latencies or [])

    return load


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of them does not exceed, such as 0.99; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def median(samples: Iterable[Sample], attribute: str) -> float:
    return float(statistics.median(getattr(sample, attribute) for sample in samples))


def ratios(samples: Iterable[Sample], others: Iterable[Sample], attribute: str = "cost") -> list[float]:
    """Round by round, what one is as a multiple of the other; what was measured close in time is compared."""
    return [getattr(one, attribute) / getattr(other, attribute) for one, other in zip(samples, others, strict=True)]


def ratio(samples: Iterable[Sample], others: Iterable[Sample], attribute: str = "cost") -> float:
    """The median of `ratios`."""
    return float(statistics.median(ratios(samples, others, attribute)))


@dataclass
class Contender:
    """A process under test and the loads it is put under.

    Attributes:
        name: Of the peer.
        cpu_ns: Its CPU clock.
        loads: By what is measured.
    """

    name: str
    cpu_ns: Callable[[], int]
    loads: Mapping[str, Load]
    sizes: dict[str, int] = field(default_factory=dict)


def contest(contenders: list[Contender], plan: Plan) -> Figures:
    """Take all samples: round by round, in each load by load, and under each the contenders one after the other.

    Every other round goes the other way, so that a machine that slows down or speeds up favours nobody.
    """
    what = list(contenders[0].loads)
    figures: Figures = {load: {contender.name: [] for contender in contenders} for load in what}
    progress(f"{', '.join(contender.name for contender in contenders)}: {', '.join(what)}")
    for contender in contenders:
        for name, load in contender.loads.items():
            progress(f"{contender.name}: warming up for {name}", detail=True)
            load(WARM_UP)
            rate = take(load, WARM_UP, contender.cpu_ns).rate
            rate = take(load, max(int(rate * CALIBRATION), WARM_UP), contender.cpu_ns).rate
            contender.sizes[name] = max(int(rate * plan.seconds), WARM_UP)
    for number in range(plan.rounds):
        way = -1 if number % 2 else 1
        for name in what[::way]:
            for contender in contenders[::way]:
                progress(f"{contender.name}: {name}, {number + 1} of {plan.rounds}", detail=True)
                sample = take(contender.loads[name], contender.sizes[name], contender.cpu_ns)
                figures[name][contender.name].append(sample)
    progress("")
    return figures


def progress(text: str, *, detail: bool = False) -> None:
    """Show what goes on, on standard error: on one line of a terminal, else line by line and without details."""
    if sys.stderr.isatty():
        print(f"\r{text:78}", end="" if text else "\r", file=sys.stderr, flush=True)
    elif text and not detail:
        print(text, file=sys.stderr, flush=True)
