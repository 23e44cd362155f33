"""A run as Markdown: ratios first, then the goals, then what the ratios are made of."""

from typing import Final

from tests.bench import growth
from tests.bench.figures import Figures, Sample, median, ratio
from tests.bench.figures import ratios as by_round
from tests.bench.goals import GOALS, KIB
from tests.bench.memory import Growth
from tests.bench.quiet import QUIET
from tests.bench.results import OURS, Results

HOW: Final = """\
Ratios are multiples of the first column, medians of the ratios in each round. CPU is that of the whole process under
test, user and system, for each message or call. "Busy" says how much of the time it and its load were on their cores,
and so which of the two was saturated. `python -m tests.bench` made this; its modules say what exactly is measured."""

SATURATED: Final = 0.9  # Of the time on its core.

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
    if results.telemetry:
        parts += ["### Telemetry: CPU, as multiples of ours without", ratios(results.telemetry, OURS)]
    if results.memory:
        parts += ["### Memory held by what is idle, as multiples of ours", *held(results.memory)]
    if results.growth:
        parts += ["### Open streams: CPU of our server, as multiples of that at one", growth_ratios(results.growth)]
    if rows := goals(results):
        parts += ["### Goals", rows, NO_GO]
    parts += warnings(results)
    for title, figures, who, load in (
        ("servers", results.servers, "server", "load"),
        ("clients", results.clients, "client", "server"),
        ("gateways", results.gateways, "gateway", "load"),
        ("telemetry", results.telemetry, "server", "load"),
        ("open streams", results.growth, "server", "load"),
    ):
        if figures:
            parts += [f"### What that is made of: {title}", details(figures, who, load)]
    return "\n\n".join([*parts, HOW, results.environment]) + "\n"


def brief(results: Results) -> str:
    """For those who measure again and again: the goals, and each figure compared with the others'."""
    parts = [goals(results)]
    measured = {
        "server": results.servers,
        "client": results.clients,
        "gateway": results.gateways,
        "telemetry": results.telemetry,
        "open streams": results.growth,
    }
    if any(measured.values()):
        lines = [_row("", "", "ratio (least-most)", "CPU, µs", "p50, µs", "p99, µs", "busy", "load"), _rule(2, 6)]
        for who, figures in measured.items():
            for what, by_peer in figures.items():
                reference = next(iter(by_peer.values()))
                lines += [
                    _row(f"{who}: {what}", name, *_brief_cells(samples, reference)) for name, samples in by_peer.items()
                ]
        parts.append("\n".join(lines))
    return "\n\n".join(filter(None, [*parts, *held(results.memory), *warnings(results)])) + "\n"


def _brief_cells(samples: list[Sample], reference: list[Sample]) -> list[str]:
    multiples = by_round(samples, reference)
    return [
        f"{ratio(samples, reference):.2f} ({min(multiples):.2f}-{max(multiples):.2f})",
        f"{median(samples, 'cost'):.1f}",
        *(f"{value:,.0f}" if (value := median(samples, name)) else "" for name in ("p50", "p99")),
        *(f"{median(samples, name):.0%}" for name in ("busy", "load")),
    ]


def ratios(figures: Figures, reference: str, header: str = "") -> str:
    """A row for everything measured: what the others cost, as a multiple of what the reference does."""
    peers = list(next(iter(figures.values())))
    lines = [_row(header, *peers), _rule(1, len(peers))]
    for what, by_peer in figures.items():
        ours = by_peer[reference]
        lines.append(_row(what, *(f"{ratio(samples, ours):.2f}" for samples in by_peer.values())))
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
    """The goals that this run can judge; empty if there are none."""
    rows = [row for goal in GOALS if (row := goal.row(results)) is not None]
    if not rows:
        return ""
    return "\n".join([_row("goal", "at most", "measured", ""), _rule(1, 2, 1), *(_row(*row) for row in rows)])


def warnings(results: Results) -> list[str]:
    """Why not to believe this run, if there is something: a load that was saturated, a machine that was not quiet."""
    found = [bottlenecks(results)]
    if results.others > QUIET:
        found.append(
            f"**The machine was not quiet:** others used {results.others:.1f} cores on average. "
            "Measure again, above all latencies."
        )
    return [warning for warning in found if warning]


def bottlenecks(results: Results) -> str:
    """Figures that were limited by the load instead of the program under it, as a warning; empty if there are none.

    A client's load is our server, whose part in the time it takes is not in the client's CPU time.
    """
    found = [
        f"{what} ({name})"
        for figures in (results.servers, results.gateways, results.telemetry, results.growth)
        for what, by_peer in figures.items()
        for name, samples in by_peer.items()
        if median(samples, "load") >= SATURATED > median(samples, "busy")
    ]
    return f"**The load was the bottleneck:** {', '.join(found)}." if found else ""


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
