// Round-trip times as dots on a logarithmic scale, with lines at p50 and p99, so that outliers and the rest are both visible.

import { duration } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const DOTS = 600; // The latest round trips.
const MARGIN = { left: 52, right: 40, top: 10, bottom: 12 };

export class Plot {
  #svg;
  #dots = make("path", { class: "dots" });
  #ticks = make("g", { class: "ticks" });
  #lines = make("g", { class: "lines" });

  constructor(svg) {
    this.#svg = svg;
    svg.append(this.#ticks, this.#dots, this.#lines);
  }

  /** Draw the times of a `RoundTrips`; `p50` and `p99` in ms. */
  draw(trips, p50, p99) {
    const { width, height } = this.#svg.getBoundingClientRect();
    if (width === 0) return;
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const times = trips.last(DOTS);
    if (times.length === 0) {
      this.#dots.setAttribute("d", "");
      this.#lines.replaceChildren();
      this.#ticks.replaceChildren(label("No round trips yet", width / 2, height / 2, "middle"));
      return;
    }
    const low = 10 ** Math.floor(Math.log10(Math.max(0.1, Math.min(...times))));
    const high = Math.max(...times, p50, p99, low * 10) * 1.1;
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const y = (ms) => {
      const part = Math.log(Math.max(ms, low) / low) / Math.log(high / low);
      return Math.round((MARGIN.top + inner.height * (1 - part)) * 10) / 10;
    };
    const x = (index) => Math.round((MARGIN.left + (inner.width * (index + 0.5)) / Math.max(times.length, 30)) * 10) / 10;

    this.#dots.setAttribute("d", times.map((ms, index) => `M${x(index)} ${y(ms)}h0`).join(""));
    this.#ticks.replaceChildren(
      ...ticks(low, high).flatMap((ms) => [
        make("path", { d: `M${MARGIN.left} ${y(ms)}H${width - MARGIN.right}` }),
        label(duration(ms).replace(/\.0+(?= )/, "").replace(/(\.\d)0(?= )/, "$1"), MARGIN.left - 8, y(ms) + 4, "end"),
      ]),
    );
    // The two labels must not overlap.
    const apart = Math.abs(y(p50) - y(p99)) >= 12 ? 0 : 12 - Math.abs(y(p50) - y(p99));
    this.#lines.replaceChildren(
      ...[["p50", p50, apart / 2], ["p99", p99, -apart / 2]].flatMap(([name, ms, shift]) =>
        Number.isFinite(ms)
          ? [
              make("path", { class: name, d: `M${MARGIN.left} ${y(ms)}H${width - MARGIN.right}` }),
              label(name, width - MARGIN.right + 6, y(ms) + 4 + shift, "start"),
            ]
          : [],
      ),
    );
  }
}

/** Powers of ten; between them 2 and 5 too, while there are few. */
function ticks(low, high) {
  const decades = Math.log10(high / low);
  const steps = decades > 3.5 ? [1] : decades > 2 ? [1, 3] : [1, 2, 5];
  const found = [];
  for (let power = low; power <= high; power *= 10) found.push(...steps.map((step) => step * power));
  return found.filter((ms) => ms <= high).map((ms) => Number(ms.toPrecision(3)));
}

function label(text, x, y, anchor) {
  const node = make("text", { x, y, "text-anchor": anchor });
  node.textContent = text;
  return node;
}

function make(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
