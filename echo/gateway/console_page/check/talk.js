// What checks say on a WebSocket, and what they make of what comes. No page.

import { printable } from "./finding.js";
import { parsed } from "./path.js";
import { Closed, LOST } from "./socket.js";
import { within } from "./time.js";

export const HALF_CLOSE = '{"half_close":true}';
const INVALID = "invalid message format";

/** A message to a stream, as JSON. */
export const message = (text = "hi", fields = {}) => JSON.stringify({ stream_id: "probe", ...fields, message: text });

/** A response of a stream; empty if it is none. */
export const told = (came) => (typeof came === "string" ? parsed(came) : {});

export const isClosed = (came) => came instanceof Closed;

/** Whether something came that is no end. */
export const isMessage = (came) => came !== null && !isClosed(came);

/** Whether it is the server's response to a message with this text, in a text frame. */
export const isEcho = (came, text) => told(came).response === `from server: ${text}`;

/** Whether it is the gateway's word for a message that is none. */
export function isInvalid(came) {
  const found = told(came);
  return found.response === INVALID && found.success === false;
}

/** Send a message and take the next that comes; null if nothing does in time. */
export function echoed(signal, socket, text, seconds) {
  return within(signal, seconds, (inner) => {
    socket.send(message(text));
    return socket.receive(inner);
  });
}

/** Wait for the end, whatever comes before it; null if there is none in time. */
export async function ending(signal, socket, seconds) {
  return within(signal, seconds, async (inner) => {
    let came;
    do came = await socket.receive(inner);
    while (!isClosed(came));
    return came;
  });
}

/** How a WebSocket ended, as the rest of a sentence that begins with it. */
export function howClosed(closed) {
  if (closed.code === LOST) return closed.reason;
  const reason = closed.reason ? ` and the reason “${printable(closed.reason, 80)}”` : " and no reason";
  return `it was closed with code ${closed.code}${reason}`;
}

/** An HTTP answer in a few words. */
export function whatCame({ status, type }) {
  const kind = printable(type.split(";")[0], 40);
  return kind ? `HTTP ${status} with ${kind}` : `HTTP ${status}`;
}
