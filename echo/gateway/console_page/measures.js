// What is counted: whether sequence numbers come complete and in order, and how long answers take. No page.

const REMEMBERED = 100_000; // Missing numbers that are known one by one; beyond, they only count.
const SAMPLES = 10_000; // Round trips that percentiles are of.

/** Watches numbers that should be 1, 2, 3 and so on. */
export class Sequence {
  #next = 1;
  #missing = new Set();
  #unknown = 0;
  outOfOrder = 0; // Came after a higher one.
  duplicates = 0; // Came again.

  /** Take the next number; gives "in order", "ahead", "late" or "duplicate". */
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

  /** Numbers that lower ones than have come, and that have not. */
  get missing() {
    return this.#missing.size + this.#unknown;
  }
}

/** Round-trip times in milliseconds: all are counted, the last ones are kept. */
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

  /** The times that the given parts of the last 10,000 are not above: `percentiles(0.5, 0.99)`. NaN if there are none. */
  percentiles(...parts) {
    const sorted = this.#ring.slice(0, Math.min(this.count, SAMPLES)).sort();
    return parts.map((part) => (sorted.length ? sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] : NaN));
  }
}
