"""Figures as Markdown: ratios to ours first, then what they are made of."""

from tests.bench.figures import Figures, Sample, median

Medians = dict[str, dict[str, float]]


def ratios(figures: Figures, reference: str) -> str:
    """A row for everything measured: what the others cost, as a multiple of what the reference does."""
    peers = list(next(iter(figures.values())))
    lines = [_row("CPU for each", *peers), _row(*["---"] * (len(peers) + 1))]
    for what, by_peer in figures.items():
        ours = median(by_peer[reference], "cost")
        cells = [f"{median(samples, 'cost') / ours:.2f}" for samples in by_peer.values()]
        lines.append(_row(what, *cells))
    return "\n".join(lines)


def details(figures: Figures) -> str:
    """Medians of the rounds; of the CPU time also the least and the greatest."""
    lines = [
        _row("what", "who", "CPU, µs", "a second", "p50, µs", "p99, µs", "busy: it", "busy: load"),
        _row("---", "---", "--:", "--:", "--:", "--:", "--:", "--:"),
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
