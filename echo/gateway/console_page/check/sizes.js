// How large a WebSocket message can be in each direction: tries sizes, each on a socket of its own. Does not touch the page.
//
// To the server, the summary says how many messages it got. From the server, a response is padded to the size wanted. The
// time allowed for a large message is derived from the time of a smaller one, because a slow path is not a limit.

import { HALF_CLOSE, howClosed, isClosed, isEcho, message, told } from "./talk.js";
import { now, within } from "./time.js";

export const ASKED = 4 * 2 ** 20 - 1024; // Bytes: what the gateway accepts, less room for the fields of a response.
const BEGIN = 64 * 1024;
const PASSES = 512; // A size in bytes that is known to pass.
const PATIENCE = 2; // Seconds for a try, plus
const SLOWNESS = 3; // times what its size would take at the slowest speed seen.
const EXACTNESS = 50; // The limit is found to this fraction of it.

/** There is no time to try the largest message; the message says how slow the path is. */
export class TooSlowError extends Error {}

export class Sizes {
  #path;
  #until;
  #latency = 0; // Seconds for a small message, connecting included.
  #pace = 0; // Further seconds for each byte.

  /** @param {number} until When to stop, by `now`. */
  constructor(path, until) {
    this.#path = path;
    this.#until = until;
  }

  /** Have smaller messages and then the largest echoed; returns what went wrong, or an empty string. */
  async largest(signal) {
    for (const size of [PASSES, BEGIN]) {
      if (await this.#timed(signal, size, this.#echo)) return "it was not tried, as smaller ones fail";
    }
    const seconds = this.#latency + this.#pace * ASKED;
    if (now() + seconds > this.#until) {
      throw new TooSlowError(`at the speed of ${BEGIN / 1024} KiB it would take ${seconds.toFixed(0)} s`);
    }
    return this.#timed(signal, ASKED, this.#echo);
  }

  /** Search for the limit in one direction: {up, passes, fails, how}; `fails` is 0 if all passed. */
  async search(signal, up) {
    const limit = { up, passes: PASSES, fails: 0, how: "" };
    for (let size = ASKED; ; ) {
      const came = await this.#timed(signal, size, up ? this.#up : this.#down);
      if (came) [limit.fails, limit.how] = [size, came];
      else limit.passes = size;
      const { passes, fails } = limit;
      if (!fails || fails - passes <= Math.max(fails / EXACTNESS, 64) || now() >= this.#until) return limit;
      if (passes === PASSES && fails > BEGIN) size = BEGIN;
      else size = Math.floor(fails > 2 * passes ? Math.sqrt(passes * fails) : (passes + fails) / 2);
    }
  }

  /** Make an attempt; returns an empty string if it passed, or else what happened. */
  async #timed(signal, size, attempt) {
    const patience = PATIENCE + SLOWNESS * (this.#latency + this.#pace * size);
    const began = now();
    const late = `nothing came within ${patience.toFixed(0)} s`;
    const how = await within(signal, patience, (inner) => attempt.call(this, inner, size), late);
    const seconds = now() - began;
    if (!how && size > PASSES) this.#pace = Math.max(this.#pace, (seconds - this.#latency) / size);
    else if (!how) this.#latency = seconds;
    return how;
  }

  #echo(signal, size) {
    return this.#path.websocket(signal, "bidirectional", {}, async (socket) => {
      const text = textOf(size);
      socket.send(message(text));
      const came = await socket.receive(signal);
      if (isClosed(came)) return howClosed(came);
      return isEcho(came, text) ? "" : "it was changed";
    });
  }

  #up(signal, size) {
    return this.#path.websocket(signal, "client", {}, async (socket) => {
      socket.send(message(textOf(size)));
      socket.send(HALF_CLOSE);
      const came = await socket.receive(signal);
      if (isClosed(came)) return howClosed(came);
      return told(came).sequence_number === 1 ? "" : "it was lost";
    });
  }

  #down(signal, size) {
    return this.#path.websocket(signal, "bidirectional", { size: `${size}B` }, async (socket) => {
      socket.send(message("hi"));
      const came = await socket.receive(signal);
      if (isClosed(came)) return howClosed(came);
      if (!String(told(came).response).startsWith("from server: hi")) return "it was changed";
      return came.length >= size ? "" : "the server did not send one";
    });
  }
}

/** The text that makes a message have so many bytes. */
const textOf = (size) => "x".repeat(size - message("").length);
