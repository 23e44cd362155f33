// Whether messages that were sent one by one also arrived one by one, or in lumps. Does not touch the page.

const NOTICEABLE = 0.25; // Fraction of the interval: messages with a smaller gap count as arriving together.

/** Whether at least half of the messages arrived together with the one before; all in seconds. */
export function inLumps(times, interval) {
  const gaps = gapsOf(times);
  return gaps.length > 0 && 2 * gaps.filter((gap) => gap < NOTICEABLE * interval).length >= gaps.length;
}

/** The longest gap between two messages, in seconds. */
export const longestWait = (times) => Math.max(...gapsOf(times));

/** A readable number of bytes. */
export const kib = (size) => (size >= 2 ** 20 ? `${(size / 2 ** 20).toFixed(1)} MiB` : `${(size / 1024).toFixed(0)} KiB`);

const gapsOf = (times) => times.slice(1).map((time, index) => time - times[index]);
