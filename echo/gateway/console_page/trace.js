// The trace context (W3C) of a WebSocket, which a page can only pass in the URL. Does not touch the page.

/** A `traceparent` for a new, sampled trace that begins here. */
export function newTraceparent() {
  return `00-${hex(16)}-${hex(8)}-01`;
}

/** Add the trace context to a WebSocket's URL. */
export function traced(url, traceparent) {
  const found = new URL(url);
  found.searchParams.set("traceparent", traceparent);
  return found;
}

function hex(bytes) {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  random[0] ||= 1; // An id of only zeros is invalid.
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
