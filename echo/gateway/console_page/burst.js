// Sends many messages: so many, so often, so large. No page.

const SLICE = 10; // Milliseconds of sending after which the page gets its turn.

/** The texts of a burst: numbered, and padded to a size in bytes. */
export function textOf(number, size) {
  return `#${number} `.padEnd(size, "-").trimEnd();
}

/**
 * Send a burst, as fast as it goes or on time: what a slow timer made late is made up for.
 *
 * @param {import("./session.js").Session} session Open.
 * @param {{streamId: string, count: number, every: number, size: number}} order `every` in milliseconds.
 * @param {AbortSignal} signal Ends it early.
 * @returns {Promise<number>} How many were sent: fewer if it was ended, or if the socket closed.
 */
export async function burst(session, { streamId, count, every, size }, signal) {
  const begun = performance.now();
  let sent = 0;
  while (sent < count && session.open && !session.halfClosed && !signal.aborted) {
    const due = every > 0 ? Math.min(count, Math.floor((performance.now() - begun) / every) + 1) : count;
    const until = performance.now() + SLICE;
    while (sent < due && session.open && !session.stuck && performance.now() < until) {
      sent += 1;
      session.say(streamId, textOf(sent, size));
    }
    if (sent < count) await pause(every > 0 ? Math.max(1, begun + sent * every - performance.now()) : 1);
  }
  return sent;
}

function pause(ms) {
  return new Promise((done) => {
    setTimeout(done, Math.min(ms, 250)); // So that an end that is asked for is soon seen.
  });
}
