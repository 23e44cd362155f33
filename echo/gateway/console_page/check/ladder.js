// WebSockets that are silent for times of their own, all at once, and one that is in use: how long they live. Their calls
// are as silent as they are, so that what is found out is of use to `ws-idle` and `stream-idle` alike. No page.

import { Closed, LOST } from "./socket.js";
import { echoed, ending, howClosed, isMessage } from "./talk.js";
import { RefusedError } from "./path.js";
import { now, sleep, together, within } from "./time.js";

export const PATIENCE = 3; // Seconds for an answer.
const BUSY = 2; // Seconds at most between the messages of the one that is in use.
const RUNGS = [1, 2, 5]; // Seconds of silence, below what is asked for.

/** Seconds between the messages of the one in use. */
export const pauseOf = (idle) => Math.min(BUSY, idle / 8);

/**
 * Climb the ladder of a path, once: whoever asks next is given the same.
 *
 * @returns {Promise<{silent: object[], busy: object, failed: string[]}>} Each {asked, lived, end, noticed}: seconds it was
 *   to live, and did for all we know; how it ended, null if it lives; whether we were told when.
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

/** Pass the time, then have a message echoed. */
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
  end.reason = "nothing came any more, and nobody said why";
  return end;
}
