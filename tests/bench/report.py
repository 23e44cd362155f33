"""A run as Markdown: ratios first, then the goals, then what the ratios are made of."""

from typing import Final

from tests.bench import growth
from tests.bench.figures import Figures, Sample, median
from tests.bench.goals import GOALS, KIB
from tests.bench.memory import Growth
from tests.bench.results import OURS, Results

HOW: Final = """\
Ratios are multiples of the first column, of medians over the rounds. CPU is that of the whole process under test, user
and system, for each message or call. "Busy" says how much of the time it and its load were on their cores, and so which
of the two was saturated. `python -m tests.bench` made this; its modules say what exactly is measured."""

NO_GO: Final = (
    "That a streamed message costs at most 2.5 times what it costs grpc-go is not measured: there is no Go here."
)


def markdown(results: Results) -> str:
    """Everything."""
    parts = []
    if results.servers:
        parts += ["### Servers: CPU, as multiples of ours", ratios(results.servers, OURS)]
    if results.clients:
        parts += ["### Clients: CPU, as multiples of ours", ratios(results.clients, OURS)]
    if results.gateways:
        parts += ["### Gateways: CPU, as multiples of ours", ratios(results.gateways, OURS)]
    if results.memory:
        parts += ["### Memory held by what is idle, as multiples of ours", *held(results.memory)]
    if results.growth:
        parts += ["### Open streams: CPU of our server, as multiples of that at one", growth_ratios(results.growth)]
    if rows := goals(results):
        parts += ["### Goals", rows, NO_GO]
    for title, figures, who, load in (
        ("servers", results.servers, "server", "load"),
        ("clients", results.clients, "client", "server"),
        ("gateways", results.gateways, "gateway", "load"),
        ("open streams", results.growth, "server", "load"),
    ):
        if figures:
            parts += [f"### What that is made of: {title}", details(figures, who, load)]
    return "\n\n".join([*parts, HOW, results.environment]) + "\n"


def ratios(figures: Figures, reference: str, header: str = "") -> str:
    """A row for everything measured: what the others cost, as a multiple of what the reference does."""
    peers = list(next(iter(figures.values())))
    lines = [_row(header, *peers), _rule(1, len(peers))]
    for what, by_peer in figures.items():
        ours = median(by_peer[reference], "cost")
        lines.append(_row(what, *(f"{median(samples, 'cost') / ours:.2f}" for samples in by_peer.values())))
    return "\n".join(lines)


def growth_ratios(figures: Figures) -> str:
    """The same by the number of open streams."""
    return ratios(figures, growth.name(1), "open streams")


def held(memory: Growth) -> list[str]:
    """For each thing that is held a table of ratios and KiB."""
    tables = []
    for what, by_peer in memory.items():
        lines = [_row(what, *by_peer), _rule(1, len(by_peer))]
        lines.append(_row("ratio", *(f"{size / by_peer[OURS]:.2f}" for size in by_peer.values())))
        lines.append(_row("KiB", *(f"{size / KIB:.1f}" for size in by_peer.values())))
        tables.append("\n".join(lines))
    return tables


def goals(results: Results) -> str:
    """The goals that this run can tell about; empty if there are none."""
    rows = [row for goal in GOALS if (row := goal.row(results)) is not None]
    if not rows:
        return ""
    return "\n".join([_row("goal", "at most", "measured", ""), _rule(1, 2, 1), *(_row(*row) for row in rows)])


def details(figures: Figures, who: str, load: str) -> str:
    """Medians of the rounds; of the CPU time also the least and the greatest."""
    lines = [
        _row("", who, "CPU, µs", "a second", "p50, µs", "p99, µs", f"{who} busy", f"{load} busy"),
        _rule(2, 6),
    ]
    for what, by_peer in figures.items():
        lines += [_row(what, name, *_cells(samples)) for name, samples in by_peer.items()]
    return "\n".join(lines)


def _cells(samples: list[Sample]) -> list[str]:
    costs = [sample.cost for sample in samples]
    latencies = [median(samples, "p50"), median(samples, "p99")]
    return [
        f"{median(samples, 'cost'):.1f} ({min(costs):.1f}-{max(costs):.1f})",
        f"{median(samples, 'rate'):,.0f}",
        *(f"{value:,.0f}" if value else "" for value in latencies),
        f"{median(samples, 'busy'):.0%}",
        f"{median(samples, 'load'):.0%}",
    ]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(text: int, numbers: int, more_text: int = 0) -> str:
    return _row(*["---"] * text, *["--:"] * numbers, *["---"] * more_text)
