// `ws-http2`: does a WebSocket open over HTTP/2 (RFC 8441)?
//
// A page cannot see which protocol its WebSockets use. It can see that of its requests, and the gateway says what it saw of
// the handshake: if both are HTTP/2, so is the WebSocket.

import { inconclusive, limited, skipped, survived } from "../finding.js";
import { CLEARTEXT, UNKNOWN_HTTP2 } from "../only_here.js";
import { RefusedError } from "../path.js";
import { echoed, isEcho } from "../talk.js";
import { route } from "../../routes.js";

const PATIENCE = 3; // Seconds for each answer.

export async function run(signal, path) {
  const { protocol } = location;
  if (protocol !== "https:") return skipped(CLEARTEXT);
  const answer = await path.request(signal, "healthz", { "ws-http2": "1" });
  if (answer === null) {
    const why = "no answer";
    return inconclusive(`The gateway does not answer at all: ${why}.`);
  }
  const spoken = performance.getEntriesByName(`${route("healthz")}?ws-http2=1`).at(-1)?.nextHopProtocol;
  if (spoken === "http/1.1" || spoken === "http/1.0") {
    return limited("not-offered", "The path to the gateway does not speak HTTP/2, so browsers use HTTP/1.1.");
  }
  const id = path.newCallId();
  const came = await path
    .websocket(signal, "bidirectional", { "call-id": id }, async (socket) => {
      const reply = await echoed(signal, socket, "hi", PATIENCE);
      const saw = (await path.evidence(signal, id))?.gateway?.protocol;
      return isEcho(reply, "hi") ? saw : "";
    })
    .catch((error) => {
      if (error instanceof RefusedError) return "";
      throw error;
    });
  if (spoken === "h2" && came === "HTTP/2") {
    return survived("A WebSocket opens over HTTP/2, and a message and its reply come through it.");
  }
  return skipped(UNKNOWN_HTTP2);
}
