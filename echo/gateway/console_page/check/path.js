// The path from this page to the gateway and the server behind it: what checks open, request and look up. Does not touch
// the page.

import { route, socketRoute } from "../routes.js";
import { RefusedError, Socket } from "./socket.js";
import { Places, now, sleep, within } from "./time.js";

const SOCKETS = 13; // The most sockets at once: ten of the ladder, and one for each check beside it.
const FAREWELL = 2; // Seconds for a socket to end before its place is given to another.
const POLL = 0.05; // Seconds between requests for evidence, at first,
const MOST_POLL = 0.5; // and in the end.

/** Whether the call of a record has ended. */
export const isOver = (record) => Boolean(record.ended);

export class Path {
  #places = new Places(SOCKETS);
  #prefix = `page-${[...crypto.getRandomValues(new Uint8Array(8))].map((octet) => octet.toString(16).padStart(2, "0")).join("")}`;
  #calls = 0;

  instances = new Set(); // The servers named in records.
  hint = "; --direct would help"; // Added to sentences when the server's records are missing.

  /** @param {number} idle Seconds that silent and busy streams should stay open. */
  constructor(idle = 10) {
    this.idle = idle;
  }

  newCallId() {
    this.#calls += 1;
    return `${this.#prefix}.${this.#calls}`;
  }

  /**
   * Open a WebSocket for the length of some work; returns the work's result.
   *
   * @param {string} stream "bidirectional", "server" or "client".
   * @param {object} script What the server is to do, by name; "call-id" has the call recorded.
   * @param {(socket: Socket) => Promise} work
   * @throws {RefusedError} It does not open.
   */
  async websocket(signal, stream, script, work) {
    const leave = await this.#places.take(signal);
    let socket = null;
    try {
      socket = await Socket.open(asked(socketRoute(stream), script), signal);
      return await work(socket);
    } finally {
      if (socket === null || socket.closed) leave();
      else {
        socket.close();
        within(new AbortController().signal, FAREWELL, (end) => socket.end(end)).then(leave);
      }
    }
  }

  /**
   * A request to the gateway, by default a GET.
   *
   * @returns {Promise<?{status: number, type: string, headers: Headers, body: string}>} Null if no answer came.
   */
  async request(signal, target, script = {}, options = {}) {
    try {
      const response = await fetch(asked(route(target), script), { cache: "no-store", signal, ...options });
      const { status, headers } = response;
      return { status, type: headers.get("content-type") ?? "", headers, body: await response.text() };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof TypeError) return null;
      throw error;
    }
  }

  /** What the gateway and the server have recorded: {gateway, server}; null if they cannot be asked. */
  async evidence(signal, callId) {
    const answer = await this.request(signal, `evidence/${callId}`);
    if (answer === null) return null;
    const told = parsed(answer.body);
    if (answer.status === 404 && told.status === "NOT_FOUND") return { gateway: null, server: null };
    if (answer.status !== 200 || !("server" in told)) return null;
    if (told.server?.instance) this.instances.add(told.server.instance);
    return told;
  }

  /**
   * What the server saw of a call; asks repeatedly until the condition holds for all attempts, for so many seconds.
   *
   * @returns {Promise<?object[]>} The attempts, empty if no server has seen the call; null if none can be asked.
   */
  async serverSaw(signal, callId, { until = isOver, seconds = 2 } = {}) {
    const last = now() + seconds;
    let pause = POLL;
    let found = null;
    for (;;) {
      const told = await this.evidence(signal, callId);
      if (told !== null) found = attempts(told.server);
      if ((found?.length && found.every(until)) || now() >= last) return found;
      await sleep(signal, Math.min(pause, last - now()));
      pause = Math.min(2 * pause, MOST_POLL);
    }
  }

  /** The gateway's record of a request, once it has ended; null if there is none by then. */
  async gatewaySaw(signal, callId, seconds = 1) {
    const last = now() + seconds;
    for (;;) {
      const record = (await this.evidence(signal, callId))?.gateway;
      if (!record) return null;
      if (record.ended) return record;
      if (now() >= last) return null;
      await sleep(signal, 2 * POLL);
    }
  }
}

export { RefusedError };

/** A parsed JSON object; empty if the text is not one. */
export function parsed(text) {
  try {
    const found = JSON.parse(text);
    return found !== null && typeof found === "object" && !Array.isArray(found) ? found : {};
  } catch {
    return {};
  }
}

function attempts(latest) {
  return latest ? [...(latest.other_attempts ?? []), latest] : [];
}

function asked(url, script) {
  for (const [name, value] of Object.entries(script)) url.searchParams.append(name, value);
  return url;
}
