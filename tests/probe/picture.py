"""A report of `probe` as a picture: ``python -m tests.probe.picture <report.txt >docs/pages/nginx.svg``.

The report is the one for a pipe, ``--format text``. Advice is cut to the first product of each finding: what a picture
is to show is how a report reads.
"""

import sys
from html import escape
from typing import Final

COLOURS: Final = {"survived": "#3fb950", "limited": "#d29922", "BROKEN": "#f85149", "skipped": "#8b949e"}
WIDTH: Final = 80  # Characters.
CHARACTER, LINE, MARGIN = 8.43, 19, 16  # Pixels.


def shortened(lines: list[str]) -> list[str]:
    """The lines without further advice than the first of each finding."""
    kept: list[str] = []
    advice = dropping = False
    for line in lines:
        text = line.strip()
        if text.startswith("- "):
            dropping, advice = advice, True
        elif line[:1].strip() or not text:
            advice = dropping = False
        if not dropping:
            kept.append(line)
    return kept


def svg(lines: list[str]) -> str:
    """The lines on a dark ground, outcomes in colour."""
    width, height = round(WIDTH * CHARACTER) + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    drawn = []
    for number, line in enumerate(lines):
        word = line.split(" ", 1)[0]
        colour = COLOURS.get(word)
        text = escape(line)
        if colour is not None:
            text = f'<tspan fill="{colour}">{escape(word)}</tspan>{escape(line.removeprefix(word))}'
        y = MARGIN + (number + 1) * LINE - 5
        drawn.append(f'<text x="{MARGIN}" y="{y}" xml:space="preserve">{text}</text>')
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    fonts = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
            f'<g font-family="{fonts}" font-size="14" fill="#c9d1d9">',
            *drawn,
            "</g>",
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(svg(shortened(sys.stdin.read().splitlines())))
