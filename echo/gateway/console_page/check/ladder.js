// Many WebSockets at once, each silent for a different time, and a busy one: how long each stays open. Their calls are just
// as silent, so the result serves both `ws-idle` and `stream-idle`. Does not touch the page.

import { Closed, LOST } from "./socket.js";
import { echoed, ending, howClosed, isMessage } from "./talk.js";
import { RefusedError } from "./path.js";
import { now, sleep, together, within } from "./time.js";

export const PATIENCE = 3; // Seconds for an answer.
const BUSY = 2; // The most seconds between the messages of the busy one.
const RUNGS = [1, 2, 5]; // Seconds of silence, below what is asked for.

/** Seconds between the messages of the busy one. */
export const pauseOf = (idle) => Math.min(BUSY, idle / 8);

/**
 * Climb the ladder of a path, only once: later calls get the same result.
 *
 * @returns {Promise<{silent: object[], busy: object, failed: string[]}>} Each {asked, lived, end, noticed}: seconds that it
 *   should stay open, and did as far as known; how it ended, null if it survived; whether we saw when.
 */
export function climb(signal, path) {
  if (!climbs.has(path)) climbs.set(path, climbed(signal, path));
  return climbs.get(path);
}

const climbs = new WeakMap();

async function climbed(signal, path) {
  const failed = [];
  const { idle } = path;
  const rungs = [...RUNGS.filter((rung) => rung < idle), idle];
  const jobs = rungs.map((asked) => (inner) => live(inner, path, asked, false, failed));
  jobs.push((inner) => live(inner, path, idle, true, failed));
  const lives = await together(signal, jobs);
  return { silent: lives.slice(0, -1), busy: lives.at(-1), failed };
}

async function live(signal, path, asked, inUse, failed) {
  try {
    return await path.websocket(signal, "bidirectional", {}, async (socket) => {
      const first = await echoed(signal, socket, "hi", PATIENCE);
      if (!isMessage(first)) {
        failed.push(first === null ? "no reply came" : howClosed(first));
        return null;
      }
      return spend(signal, socket, asked, inUse);
    });
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    failed.push(error.message);
    return null;
  }
}

/** Wait in the socket's way, then have a message echoed. */
async function spend(signal, socket, asked, inUse) {
  const began = now();
  if (inUse) await within(signal, asked, (inner) => use(inner, socket, pauseOf(asked)));
  else await ending(signal, socket, asked);
  const whole = socket.closed === null && now() - began >= asked - 0.05;
  if (whole && isMessage(await echoed(signal, socket, "still there?", PATIENCE))) {
    return { asked, lived: asked, end: null, noticed: true };
  }
  const noticed = socket.closed !== null && socket.closed.at < began + asked;
  const end = socket.closed ?? silence();
  return { asked, lived: Math.min(end.at - began, asked), end, noticed };
}

async function use(signal, socket, pause) {
  while (isMessage(await echoed(signal, socket, "hi", PATIENCE))) await sleep(signal, pause);
}

function silence() {
  const end = new Closed(LOST, "");
  end.reason = "nothing came any more, without notice";
  return end;
}
