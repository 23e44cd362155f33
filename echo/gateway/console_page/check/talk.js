// How checks talk on a WebSocket, and how they judge what comes back. Does not touch the page.

import { printable } from "./finding.js";
import { parsed } from "./path.js";
import { Closed, LOST } from "./socket.js";
import { within } from "./time.js";

export const HALF_CLOSE = '{"half_close":true}';
const MAX_SAID = 150; // Characters of an answer that are quoted.
export const UNHEEDED_QUERY =
  "The server did not do as asked: is ECHO_SCRIPTING off, or does the path drop query parameters?";
const INVALID = "invalid message format";

/** A message to a stream, as JSON. */
export const message = (text = "hi", fields = {}) => JSON.stringify({ stream_id: "probe", ...fields, message: text });

/** A stream's response as an object; empty if it is not JSON. */
export const told = (came) => (typeof came === "string" ? parsed(came) : {});

export const isClosed = (came) => came instanceof Closed;

/** Whether a message came, and not the end. */
export const isMessage = (came) => came !== null && !isClosed(came);

/** Whether it is the server's response to a message with this text, in a text frame. */
export const isEcho = (came, text) => told(came).response === `from server: ${text}`;

/** Whether it is the gateway's reply to an invalid message. */
export function isInvalid(came) {
  const found = told(came);
  return found.response === INVALID && found.success === false;
}

/** Send a message and return the next one received; null if none comes in time. */
export function echoed(signal, socket, text, seconds) {
  return within(signal, seconds, (inner) => {
    socket.send(message(text));
    return socket.receive(inner);
  });
}

/** Wait for the end, ignoring messages before it; null if it does not come in time. */
export async function ending(signal, socket, seconds) {
  return within(signal, seconds, async (inner) => {
    let came;
    do came = await socket.receive(inner);
    while (!isClosed(came));
    return came;
  });
}

/** How a WebSocket ended, as a clause. */
export function howClosed(closed) {
  if (closed.code === LOST) return closed.reason;
  const reason = closed.reason ? ` and the reason “${printable(closed.reason, 80)}”` : " and no reason";
  return `it was closed with code ${closed.code}${reason}`;
}

/** How the call of a WebSocket ended, as a noun that can follow "ended with". */
export function endingOf({ code, reason }) {
  const status = code === 1011 ? /^([A-Z_]+)(?:: (.+))?$/s.exec(reason) : null;
  if (status === null) return `code ${code}`;
  return status[2] ? `${status[1]} (${printable(status[2], 120)})` : status[1];
}

/** An HTTP answer in a few words, with what it says if that is short plain text, as it is Envoy's. */
export function whatCame({ status, type, body = "" }) {
  const kind = printable(type.split(";")[0], 40);
  const said = kind === "text/plain" ? body.trim() : "";
  const text = said && said.length <= MAX_SAID ? ` (“${printable(said, MAX_SAID)}”)` : "";
  return kind ? `HTTP ${status} with ${kind}${text}` : `HTTP ${status}`;
}
