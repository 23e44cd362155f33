// Whether messages that were sent one by one also came one by one, or in lumps. No page.

const NOTICEABLE = 0.25; // Of the interval: what comes within that of the one before has come with it.

/** Whether at least half of the messages came together with the one before them; all in seconds. */
export function inLumps(times, interval) {
  const gaps = gapsOf(times);
  return gaps.length > 0 && 2 * gaps.filter((gap) => gap < NOTICEABLE * interval).length >= gaps.length;
}

/** The most seconds between a message and the one before it. */
export const longestWait = (times) => Math.max(...gapsOf(times));

/** Bytes, about. */
export const kib = (size) => (size >= 2 ** 20 ? `${(size / 2 ** 20).toFixed(1)} MiB` : `${(size / 1024).toFixed(0)} KiB`);

const gapsOf = (times) => times.slice(1).map((time, index) => time - times[index]);
