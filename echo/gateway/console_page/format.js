// Readable numbers. Pure functions that do not touch the page.

/** A length of time in milliseconds: "0.42 ms", "12.3 ms", "4.20 s", "3 min 20 s", "2 h 05 min". */
export function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 0.9995) return `${ms.toFixed(2)} ms`;
  if (ms < 99.95) return `${ms.toPrecision(3)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 9_995 ? 2 : 1)} s`;
  return clock(Math.max(ms, 60_000));
}

/** A length of time that is being counted, to the second: "0 s", "59 s", "3 min 20 s", "2 h 05 min". */
export function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)} min`;
}

/** Bytes: "812 B", "1.2 kB", "3.4 MB". */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_950) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** A count with thousands separators: "10,000". Not for codes and ports, which are names. */
export function count(number) {
  return number.toLocaleString("en");
}

/** The time of day of a Date, to the millisecond. */
export function timeOfDay(date) {
  const digits = (number, width = 2) => String(number).padStart(width, "0");
  const [h, m, s] = [date.getHours(), date.getMinutes(), date.getSeconds()].map((number) => digits(number));
  return `${h}:${m}:${s}.${digits(date.getMilliseconds(), 3)}`;
}

const encoder = new TextEncoder();

/** The number of bytes of a text on the wire. */
export function bytesOf(text) {
  return encoder.encode(text).length;
}
