// What is measured: whether sequence numbers arrive complete and in order, and how long answers take. Does not touch the page.

const REMEMBERED = 100_000; // Missing numbers that are tracked individually; further ones are only counted.
const SAMPLES = 10_000; // Round trips from which percentiles are computed.

/** Checks numbers that should be 1, 2, 3 and so on. */
export class Sequence {
  #next = 1;
  #missing = new Set();
  #unknown = 0;
  outOfOrder = 0; // Came after a higher one.
  duplicates = 0; // Came again.

  /** Record the next number; returns "in order", "ahead", "late" or "duplicate". */
  take(number) {
    if (number >= this.#next) {
      const ahead = number > this.#next;
      const known = Math.min(number, this.#next + REMEMBERED - this.#missing.size);
      for (let lost = this.#next; lost < known; lost += 1) this.#missing.add(lost);
      this.#unknown += Math.max(0, number - Math.max(known, this.#next));
      this.#next = number + 1;
      return ahead ? "ahead" : "in order";
    }
    if (this.#missing.delete(number)) {
      this.outOfOrder += 1;
      return "late";
    }
    this.duplicates += 1;
    return "duplicate";
  }

  /** The count of numbers that are missing although higher ones have arrived. */
  get missing() {
    return this.#missing.size + this.#unknown;
  }
}

/** Round-trip times in milliseconds: all are counted, the latest are kept. */
export class RoundTrips {
  #ring = new Float64Array(SAMPLES);
  count = 0;
  max = NaN;

  add(ms) {
    this.#ring[this.count % SAMPLES] = ms;
    this.count += 1;
    if (!(ms <= this.max)) this.max = ms;
  }

  /** The last `most` of them, oldest first. */
  last(most) {
    const length = Math.min(most, this.count, SAMPLES);
    return Array.from({ length }, (_, index) => this.#ring[(this.count - length + index) % SAMPLES]);
  }

  /** Percentiles of the last 10,000, given as fractions: `percentiles(0.5, 0.99)`. NaN if there are none. */
  percentiles(...parts) {
    const sorted = this.#ring.slice(0, Math.min(this.count, SAMPLES)).sort();
    return parts.map((part) => (sorted.length ? sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] : NaN));
  }
}
