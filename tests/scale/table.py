"""What the simulation found, as Markdown."""

import statistics

from tests.scale.scenarios import LATER, RESTARTED, SCALED, START, Seen, Size, Way
from tests.scale.spread import Spread

Found = dict[str, dict[Way, Seen]]
"""By scenario, by the clients' way."""


def markdown(found: Found, size: Size) -> str:
    """Both scenarios' tables."""
    head = f"balance | addresses | maximum age | before | 5 min after | {size.wait / 60 + 5:.0f} min after"
    rule = f"|{'---|' * 6}{'--:|' * 3}"
    restarts, scalings = found["restart"], found["scale-up"]
    lines = [
        f"A rolling restart of {size.pods} pods, one after the other:",
        "",
        f"| {head} | busiest meanwhile | calls | lost |",
        rule,
        *(_row(way, seen, (START, RESTARTED, LATER), _busiest(seen)) for way, seen in restarts.items()),
        "",
        f"From {size.pods // 2} pods to {size.pods} at once:",
        "",
        f"| {head} | new pods have their share | calls | lost |",
        rule,
        *(_row(way, seen, (START, SCALED, LATER), _share(seen)) for way, seen in scalings.items()),
    ]
    return "\n".join(lines)


def _row(way: Way, seen: Seen, moments: tuple[str, ...], more: str) -> str:
    age = "none" if way.age is None else f"{way.age / 60:.0f} min"
    cells = [f"`{way.balance}`", way.order, age, *(_cell(seen.moments[moment]) for moment in moments), more]
    return f"| {' | '.join(cells)} | {seen.calls:,} | {len(seen.lost)} |"


def _cell(spread: Spread) -> str:
    """Connections of the least busy, the median and the busiest pod, and how calls vary."""
    connections = spread.connections
    middle = statistics.median(connections)
    return f"{min(connections)} / {middle:g} / {max(connections)}, {spread.variation:.2f}"


def _busiest(seen: Seen) -> str:
    """The most that a pod had of the mean, between the moments before and after."""
    began, ended = seen.moments[START].at, seen.moments[RESTARTED].at
    return f"{max(spread.busiest for spread in seen.series if began <= spread.at <= ended):.1f} times the mean"


def _share(seen: Seen) -> str:
    return "never" if seen.share_after is None else f"after {seen.share_after / 60:.0f} min"
