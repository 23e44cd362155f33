// The numbers that the page shows of a session: clocks, counts, round trips. Drawn at most once per frame.

import { clock, count, duration } from "./format.js";
import { RoundTrips } from "./measures.js";
import { at } from "./page.js";
import { Plot } from "./plot.js";

const TRIPS_EVERY = 100; // Milliseconds.
const NONE = new RoundTrips();

export class Figures {
  #plot = new Plot(at("plot"));
  #subject;
  #frame = 0;
  #drawn = { trips: null, count: -1, at: 0 };

  /** @param {() => {session: ?import("./session.js").Session, reconnects: number}} subject Returns the session to show. */
  constructor(subject) {
    this.#subject = subject;
    new ResizeObserver(() => this.#drawTrips(true)).observe(at("plot"));
  }

  /** Draw the current state in the next frame. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.drawClocks();
      this.#drawCounts();
      this.#drawTrips();
    });
  }

  drawClocks() {
    const { session, reconnects } = this.#subject();
    at("t-idle").textContent = session?.closed ? "Idle at the end" : "Idle for";
    if (!session || Number.isNaN(session.openedAt)) {
      for (const id of ["n-connected", "n-last", "n-idle"]) at(id).textContent = "–";
    } else {
      const until = session.closed ? session.closedAt : performance.now();
      const long = session.closed ? duration : clock;
      at("n-connected").textContent = long(until - session.openedAt);
      at("n-last").textContent = long(session.idle);
      at("n-idle").textContent = duration(Math.max(session.longestIdle, session.idle)).replace(/^\d.* ms$/, "under 1 s");
    }
    at("n-reconnects").textContent = count(reconnects);
  }

  #drawCounts() {
    const { session } = this.#subject();
    const sequence = session?.sequence;
    const unanswered = session?.unanswered ?? 0;
    at("t-unanswered").textContent = session?.open ? "In flight" : "Unanswered";
    at("n-sent").textContent = count(session?.sent ?? 0);
    at("n-received").textContent = count(session?.received ?? 0);
    at("n-unanswered").textContent = count(unanswered);
    at("n-unanswered").parentElement.toggleAttribute("data-found", Boolean(session?.closed) && unanswered > 0);
    for (const [id, number] of [
      ["n-missing", sequence?.missing],
      ["n-order", sequence?.outOfOrder],
      ["n-duplicate", sequence?.duplicates],
      ["n-changed", session?.changed],
    ]) {
      at(id).textContent = count(number ?? 0);
      at(id).parentElement.toggleAttribute("data-found", number > 0);
    }
  }

  #drawTrips(anyway = false) {
    const trips = this.#subject().session?.trips ?? NONE;
    const now = performance.now();
    const known = this.#drawn.trips === trips;
    if (!anyway && known && this.#drawn.count === trips.count) return;
    // Sorting ten thousand numbers in every frame would take time from a burst.
    if (!anyway && known && now - this.#drawn.at < TRIPS_EVERY) {
      setTimeout(() => this.draw(), TRIPS_EVERY);
      return;
    }
    this.#drawn = { trips, count: trips.count, at: now };
    const [p50, p99] = trips.percentiles(0.5, 0.99);
    at("n-p50").textContent = duration(p50);
    at("n-p99").textContent = duration(p99);
    at("n-max").textContent = duration(trips.max);
    at("n-trips").textContent = count(trips.count);
    const words = `${count(trips.count)} round trips: half within ${duration(p50)}, 99 % within ${duration(p99)}, at most ${duration(trips.max)}`;
    at("plot").setAttribute("aria-label", trips.count ? words : "No round trips yet");
    this.#plot.draw(trips, p50, p99);
  }
}
