"""A run as a picture: one small panel for each question, ours in colour, multiples of ours at the bars.

The file is SVG with its text as text on a white card, so that it reads on a light page and on a dark one, and the same
results give the same bytes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench import calling, growth, memory, relays, servers
from tests.bench.figures import Figures, median
from tests.bench.goals import KIB
from tests.bench.results import OURS, Results

COLOURS: Final = {OURS: "#1b6ca8", f"{OURS} on asyncio": "#8db9d8"}
LABELS: Final = {
    "Starlette + uvicorn + grpcio.aio": "Starlette + grpcio.aio",
    "Hypercorn on trio, no relay": "Hypercorn, no relay",
}
OTHER: Final = "#c3c7cc"
INK: Final = "#24292f"
PALE: Final = "#6e7781"
COLUMNS: Final = 2
WIDTH: Final = 9.0  # Inches.
ROW: Final = 1.45  # Inches.
BARS: Final = 5  # Room in a panel, so that bars are of one thickness.

STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "echo",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 8,
    "text.color": INK,
    "axes.edgecolor": PALE,
    "axes.labelcolor": PALE,
    "xtick.color": PALE,
    "ytick.color": INK,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

Panel = Callable[[Axes], None]


def draw(results: Results, path: Path) -> None:
    """Write the picture. The format goes by the name of the file."""
    panels = list(_panels(results))
    rows = -(-len(panels) // COLUMNS)
    height = ROW * rows
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        figure.subplots_adjust(
            left=0.16, right=0.99, wspace=0.5, hspace=0.45, top=1 - 0.3 / height, bottom=0.3 / height
        )
        axes = figure.subplots(rows, COLUMNS, squeeze=False)
        for place, ax in enumerate(axes.flat):
            if place < len(panels):
                panels[place](ax)
            else:
                ax.set_axis_off()
        figure.savefig(path, metadata={"Date": None, "Creator": None} if path.suffix == ".svg" else None)


def _panels(results: Results) -> Iterator[Panel]:
    for figures, what, attribute, title in (
        (results.servers, servers.STREAMED, "cost", "Server: CPU for a streamed message"),
        (results.servers, servers.UNARY, "cost", "Server: CPU for a unary call"),
        (results.servers, servers.UNARY_MESH, "cost", "Server: CPU for one with fresh headers"),
        (results.servers, servers.PING_PONG, "p50", "Server: ping-pong on a stream, p50"),
        (results.servers, servers.PING_PONG, "p99", "Server: ping-pong on a stream, p99"),
        (results.clients, calling.STREAMED, "cost", "Client: CPU for a streamed message"),
        (results.clients, calling.UNARY, "cost", "Client: CPU for a unary call"),
        (results.gateways, relays.RELAYED, "cost", "Gateway: CPU for a relayed message"),
        (results.gateways, relays.PING_PONG, "cost", "Gateway: CPU for a message, ping-pong"),
    ):
        if what in figures:
            values = {name: median(samples, attribute) for name, samples in figures[what].items()}
            yield _bars(title, values, "µs", 1.0)
    for what, title in (
        (memory.STREAM, "Server: memory of an idle stream"),
        (memory.WEBSOCKET, "Gateway: memory of an idle WebSocket"),
    ):
        if what in results.memory:
            yield _bars(title, results.memory[what], "KiB", 1 / KIB)
    if results.growth:
        yield _lines("Server: CPU for a message, by open streams", results.growth)


def _bars(title: str, values: dict[str, float], unit: str, scale: float) -> Panel:
    def panel(ax: Axes) -> None:
        names = [LABELS.get(name, name) for name in values]
        sizes = [value * scale for value in values.values()]
        ax.barh(names, sizes, color=[COLOURS.get(name, OTHER) for name in values], height=0.72)
        for place, (name, size) in enumerate(zip(values, sizes, strict=True)):
            ratio = "" if name == OURS else f"{values[name] / values[OURS]:.2g}\N{MULTIPLICATION SIGN}, "
            shown = f"{size:,.0f}" if size >= 100 else f"{size:.3g}"
            ax.text(size, place, f" {ratio}{shown} {unit}", va="center", ha="left", fontsize=7)
        ax.set_ylim(max(BARS, len(names)) - 0.5, -0.5)
        ax.set_xlim(0, max(sizes) * 1.42)
        ax.set_xticks([])
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "bottom"]].set_visible(False)
        ax.spines["left"].set_bounds(-0.5, len(names) - 0.5)
        _title(ax, title)

    return panel


def _lines(title: str, figures: Figures) -> Panel:
    def panel(ax: Axes) -> None:
        for (what, by_level), colour in zip(figures.items(), ("#1b6ca8", "#8db9d8", "#6e7781"), strict=False):
            levels = [int(level.replace(",", "")) for level in by_level]
            base = median(by_level[growth.name(1)], "cost")
            sizes = [median(samples, "cost") / base for samples in by_level.values()]
            ax.plot(levels, sizes, marker="o", markersize=3, linewidth=1.3, color=colour, label=what)
        ax.set_xscale("log")
        ax.set_xticks(levels, [f"{level:,}" for level in levels])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
        ax.set_ylabel("of that at one")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5))
        _title(ax, title)

    return panel


def _title(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=8.5, fontweight="bold")
