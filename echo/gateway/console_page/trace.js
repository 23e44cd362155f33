// The context of a trace (W3C Trace Context), which a page can give a WebSocket in its URL alone. No page.

/** A `traceparent` of a trace that begins here, and is to be recorded by whoever records traces. */
export function newTraceparent() {
  return `00-${hex(16)}-${hex(8)}-01`;
}

/** The URL of a WebSocket with the context in it. */
export function traced(url, traceparent) {
  const found = new URL(url);
  found.searchParams.set("traceparent", traceparent);
  return found;
}

function hex(bytes) {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  random[0] ||= 1; // Zeros alone name nothing.
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
