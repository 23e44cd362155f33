// Sends many messages, with a given number, interval, size, and number in flight. Does not touch the page.

import { count as counted, duration, size as sized } from "./format.js";

const SLICE = 10; // Milliseconds of sending after which the page gets its turn.
const NOTABLE_DELAY = 50; // Milliseconds behind schedule that are worth mentioning.
const NOTABLE_BACKLOG = 64_000; // Unsent bytes in the browser that are worth mentioning.

/** The texts of a burst: numbered, and padded to a size in bytes. */
export function textOf(number, size) {
  return `#${number} `.padEnd(size, "-").trimEnd();
}

export class Burst {
  #session;
  #order;
  #stopped = false;
  #begun = performance.now();
  #lasted = NaN;
  #behind = 0; // The most, in milliseconds.
  #backlog = 0; // The most bytes that the browser held unsent.
  sent = 0;

  /**
   * @param {import("./session.js").Session} session Open.
   * @param {{streamId: string, count: number, every: number, size: number, window: number}} order `every` in
   *   milliseconds, 0 for as fast as it goes; `window` is how many may be in flight at once.
   */
  constructor(session, order) {
    this.#session = session;
    this.#order = order;
  }

  /** Which session it is sent on. */
  get session() {
    return this.#session;
  }

  /** The fraction that has been sent, 0 to 1. */
  get part() {
    return this.sent / this.#order.count;
  }

  /** "running", "done", or what ended it early: "stopped" (by `stop`), "half-closed", "closed" (by the page), "lost". */
  get state() {
    if (this.sent === this.#order.count) return "done";
    if (this.#stopped) return "stopped";
    if (this.#session.halfClosed) return "half-closed";
    if (!this.#session.open) return this.#session.ours ? "closed" : "lost";
    return "running";
  }

  /** Whether something other than `stop` ended it early. */
  get cutShort() {
    return ["half-closed", "closed", "lost"].includes(this.state);
  }

  /** How it went, in words. */
  get account() {
    const of = `${counted(this.sent)} of ${counted(this.#order.count)} messages were sent`;
    switch (this.state) {
      case "running":
        return "";
      case "stopped":
        return `Burst stopped: ${of}.`;
      case "half-closed":
        return `Burst cut short by the half-close: ${of}.`;
      case "closed":
        return `Burst cut short because you closed the connection: ${of}.`;
      case "lost":
        return `Burst cut short because the connection ended: ${of}.`;
    }
    const { count, every } = this.#order;
    const notes = [`Burst sent: ${counted(count)} ${count === 1 ? "message" : "messages"} in ${duration(this.#lasted)}`];
    if (every > 0 && this.#behind > NOTABLE_DELAY) notes.push(`up to ${duration(this.#behind)} behind schedule`);
    if (this.#backlog > NOTABLE_BACKLOG) notes.push(`up to ${sized(this.#backlog)} waited unsent in this browser`);
    return `${notes.join("; ")}.`;
  }

  stop() {
    this.#stopped = true;
  }

  /** Send it as fast as possible or on schedule, catching up after a slow timer. Returns when it has ended. */
  async run() {
    const { streamId, count, every, size, window } = this.#order;
    const session = this.#session;
    while (this.state === "running") {
      const due = every > 0 ? Math.min(count, Math.floor((performance.now() - this.#begun) / every) + 1) : count;
      const until = performance.now() + SLICE;
      while (this.sent < due && this.state === "running" && session.inFlight < window && !session.stuck) {
        if (performance.now() > until) break;
        this.#behind = Math.max(this.#behind, performance.now() - this.#begun - this.sent * every);
        this.sent += 1;
        session.say(streamId, textOf(this.sent, size));
        this.#backlog = Math.max(this.#backlog, session.buffered);
      }
      if (this.state === "running") await this.#pause(due);
    }
    this.#lasted = performance.now() - this.#begun;
  }

  /** Wait until the next message is due or there may be room for it; not by a timer alone, which browsers slow down. */
  #pause(due) {
    const { every, window } = this.#order;
    const full = this.#session.inFlight >= window;
    const wait = full ? 250 : this.sent < due ? 1 : this.#begun + this.sent * every - performance.now();
    return Promise.race([
      ...(full ? [this.#session.activity()] : []),
      new Promise((done) => {
        setTimeout(done, Math.min(Math.max(1, wait), 250)); // Bounded, so that a stop is noticed soon.
      }),
    ]);
  }
}
