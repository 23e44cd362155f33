// One WebSocket from its opening to its close, and everything that is counted about it. Does not touch the page.

import { bytesOf, count } from "./format.js";
import { RoundTrips, Sequence } from "./measures.js";
import { socketRoute } from "./routes.js";
import { newTraceparent, traced } from "./trace.js";

const INVALID = "invalid message format";
const BACKLOG = 1 << 20; // Bytes the browser may hold unsent before a burst waits.

/**
 * A WebSocket to one of the streams.
 *
 * `hear(kind, details)` is called with "open"; "message" {text, size, rtt, verdict, gap}; "sent" {text, size,
 * halfClose}; "halfClosed"; "close" {code, reason, opened, idle, ours, left}. Times are milliseconds of
 * `performance.now()`; `halfClose` is whether the text was a half-close and not a message; `left` whether the page did not
 * wait for the end, whose code is then null.
 */
export class Session {
  #socket;
  #hear;
  #waiting = new Map(); // Unanswered messages: the number of the expected answer -> {at, message}.
  #accepted = 0;
  #halfClosedAt = NaN;
  #left = false;
  #wake = null; // Resolves the promise that `activity` returned.

  openedAt = NaN;
  closedAt = NaN;
  lastAt = NaN; // When the last message passed, either way.
  longestIdle = 0;
  halfClosed = false;
  ours = false; // The page closed it.
  sent = 0;
  received = 0;
  changed = 0; // Answers that differ from what was sent.
  sequence = new Sequence();
  trips = new RoundTrips();

  traceparent = newTraceparent();

  constructor(stream, hear) {
    this.stream = stream;
    this.#hear = hear;
    this.startedAt = performance.now();
    this.#socket = new WebSocket(traced(socketRoute(stream), this.traceparent));
    this.#socket.onopen = () => {
      this.openedAt = this.lastAt = performance.now();
      hear("open");
    };
    this.#socket.onmessage = (event) => this.#receive(event.data);
    this.#socket.onclose = (event) => this.#end(event.code, event.reason);
  }

  get connecting() {
    return !this.closed && this.#socket.readyState === WebSocket.CONNECTING;
  }

  get open() {
    return !this.closed && this.#socket.readyState === WebSocket.OPEN;
  }

  get closed() {
    return !Number.isNaN(this.closedAt);
  }

  /** The number of unanswered messages. */
  get unanswered() {
    return this.#waiting.size;
  }

  /** The number of unanswered messages that no later answer has overtaken, so that theirs may still be on its way. */
  get inFlight() {
    return Math.max(0, this.unanswered - this.sequence.missing);
  }

  /** Milliseconds since the last message. */
  get idle() {
    return (this.closed ? this.closedAt : performance.now()) - this.lastAt;
  }

  /** Bytes that the browser has not handed to the network. */
  get buffered() {
    return this.#socket.bufferedAmount;
  }

  /** Whether the browser holds more unsent bytes than it should. */
  get stuck() {
    return this.buffered > BACKLOG;
  }

  /** Resolves when a message has come, or either side has ended. For one waiter at a time. */
  activity() {
    return new Promise((done) => {
      this.#wake = done;
    });
  }

  /** Send a message with these fields. */
  say(streamId, message) {
    this.sendRaw(JSON.stringify({ stream_id: streamId, sequence_number: this.#accepted + 1, message }));
  }

  /** Send any text, even one that the gateway will reject. */
  sendRaw(text) {
    const size = bytesOf(text);
    const read = understood(text);
    this.#socket.send(text);
    this.#pass();
    const halfClose = read !== null && read.halfClose && read.message === null;
    if (!halfClose) this.sent += 1;
    const wasHalfClosed = this.halfClosed;
    if (read !== null && !wasHalfClosed) {
      if (read.message !== null) {
        this.#accepted += 1;
        // Only the bidirectional stream answers each; the server stream's only message is answered by its first.
        if (this.stream === "bidirectional" || (this.stream === "server" && this.#accepted === 1)) {
          this.#waiting.set(this.#accepted, { at: this.lastAt, message: read.message });
        }
      }
      if (read.halfClose) {
        this.halfClosed = true;
        this.#halfClosedAt = this.lastAt;
      }
    }
    this.#hear("sent", { text, size, halfClose });
    if (this.halfClosed && !wasHalfClosed) {
      this.#hear("halfClosed");
      this.#wake?.();
    }
  }

  /** Half-close: nothing more will be sent. */
  halfClose() {
    this.sendRaw('{"half_close":true}');
  }

  close(code) {
    this.ours = true;
    this.#socket.close(code);
  }

  /** Send a close frame without a code and ignore whatever comes back. That is the rudest end that a page can cause. */
  leave() {
    this.ours = true;
    this.#left = true;
    this.#socket.close();
    this.#end(null, "");
  }

  #pass() {
    const now = performance.now();
    const gap = now - this.lastAt;
    this.longestIdle = Math.max(this.longestIdle, gap);
    this.lastAt = now;
    return gap;
  }

  #receive(text) {
    if (this.#left) return;
    const gap = this.#pass();
    const details = { text, size: bytesOf(text), gap, rtt: NaN, verdict: "" };
    this.received += 1;
    let answer = null;
    try {
      answer = JSON.parse(text);
    } catch {
      details.verdict = "not JSON";
    }
    if (answer?.response === INVALID && answer.success === false && !answer.sequence_number) {
      details.verdict = "refused";
    } else if (answer !== null) {
      this.#judge(answer, details);
    }
    this.#hear("message", details);
    this.#wake?.();
  }

  #judge(answer, details) {
    const number = answer.sequence_number;
    if (this.stream === "client") {
      details.rtt = this.lastAt - this.#halfClosedAt;
      details.verdict = number === this.#accepted ? "" : `${count(this.#accepted)} were sent`;
      if (number !== this.#accepted) this.changed += 1;
    } else {
      const order = this.sequence.take(number);
      details.verdict = order === "in order" ? "" : order;
      const asked = this.#waiting.get(number);
      if (asked !== undefined) {
        this.#waiting.delete(number);
        details.rtt = this.lastAt - asked.at;
        if (!String(answer.response).startsWith(`from server: ${asked.message}`)) {
          this.changed += 1;
          details.verdict = "changed";
        }
      }
    }
    if (Number.isFinite(details.rtt)) this.trips.add(details.rtt);
  }

  #end(code, reason) {
    if (this.closed) return;
    const opened = !Number.isNaN(this.openedAt);
    this.closedAt = performance.now();
    const idle = opened ? this.closedAt - this.lastAt : 0;
    this.longestIdle = Math.max(this.longestIdle, idle);
    this.#hear("close", { code, reason, opened, idle, ours: this.ours, left: this.#left });
    this.#wake?.();
  }
}

/** How the gateway will read a text: null if it rejects it, or else the message (or null) and whether it half-closes. */
function understood(text) {
  if (text === "") return { message: null, halfClose: true };
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const texts = [value.stream_id ?? value.streamId ?? "", value.message ?? ""];
  const numbers = [value.sequence_number ?? value.sequenceNumber ?? 0, value.timestamp ?? 0];
  if (texts.some((field) => typeof field !== "string") || !numbers.every(isInt64)) return null;
  const halfClose = value.half_close ?? value.halfClose ?? false;
  if (typeof halfClose !== "boolean") return null;
  const bare = halfClose && texts.every((field) => field === "") && numbers.every((field) => Number(field) === 0);
  return { message: bare ? null : texts[1], halfClose };
}

function isInt64(value) {
  if (typeof value === "string" ? !/^-?\d+$/.test(value) : !Number.isInteger(value)) return false;
  const exact = BigInt(value);
  return BigInt.asIntN(64, exact) === exact;
}
