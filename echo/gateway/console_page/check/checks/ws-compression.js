// `ws-compression`: do compressed WebSocket messages arrive intact?
//
// A browser always offers permessage-deflate (RFC 7692), and nobody has to accept it. A page cannot try messages without.

import { inconclusive, survived } from "../finding.js";
import { uncompressed } from "../only_here.js";
import { echoed, howClosed, isClosed, isEcho } from "../talk.js";

const PATIENCE = 2; // Seconds for each message.

// Repetitions, twice as later messages may refer to earlier ones; hardly compressible text; other alphabets; nothing.
const MESSAGES = [
  "compress me ".repeat(300),
  "compress me ".repeat(300),
  Array.from(crypto.getRandomValues(new Uint8Array(4_000)), (octet) => (octet % 36).toString(36)).join(""),
  "größer 再见 🙂 ".repeat(200),
  "",
  "short",
];

export async function run(signal, path) {
  return path.websocket(signal, "bidirectional", {}, async (socket) => {
    const agreed = socket.extensions.includes("permessage-deflate");
    const wrong = await tried(signal, socket);
    if (!wrong) {
      return survived(
        agreed
          ? "Compression is agreed on, and compressed messages arrive intact."
          : "Nobody accepts the compression we offer, which is fine; messages arrive intact.",
      );
    }
    const how = agreed ? "with compression agreed on" : "when compression is merely offered";
    return inconclusive(uncompressed(how, wrong));
  });
}

/** Have all messages echoed; returns what went wrong, if anything. */
async function tried(signal, socket) {
  for (const text of MESSAGES) {
    const came = await echoed(signal, socket, text, PATIENCE);
    if (came === null) return `no reply within ${PATIENCE} s`;
    if (isClosed(came)) return howClosed(came);
    if (!isEcho(came, text)) return "a message was changed on its way";
  }
  return "";
}
