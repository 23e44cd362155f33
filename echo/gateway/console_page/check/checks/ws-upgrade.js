// `ws-upgrade`: does a WebSocket open?
//
// If it does not, the browser does not say why. So the gateway is asked what arrived of the handshake, and a plain request
// shows whether the gateway answers at all.

import { broken, inconclusive, printable, survived } from "../finding.js";
import { RefusedError } from "../path.js";
import { LOST } from "../socket.js";
import { echoed, howClosed, isClosed, isEcho } from "../talk.js";
import { within } from "../time.js";
import { diagnose } from "../../reach.js";
import { ACCEPTED, NEVER_ARRIVED } from "../only_here.js";

const PATIENCE = 3; // Seconds for each answer.

export async function run(signal, path) {
  const id = path.newCallId();
  let opened = false;
  try {
    const finding = await within(signal, 3 * PATIENCE, (inner) =>
      path.websocket(inner, "bidirectional", { "call-id": id }, async (socket) => {
        opened = true;
        return judged(inner, path, await echoed(inner, socket, "hi", PATIENCE));
      }),
    );
    return finding ?? (await refused(signal, path, id));
  } catch (error) {
    if (!(error instanceof RefusedError) || opened) throw error;
    return refused(signal, path, id);
  }
}

async function judged(signal, path, came) {
  if (isClosed(came)) {
    if (came.code !== LOST) return inconclusive(`A WebSocket opens, but before the first reply ${howClosed(came)}.`);
  } else if (came !== null) {
    if (isEcho(came, "hi")) return survived("A WebSocket opens, and a message and its reply come through it.");
    return survived("A WebSocket opens, and something comes through it.", { details: { came: String(came).slice(0, 200) } });
  }
  if (!(await answers(signal, path, "grpc/hi"))) {
    return inconclusive("A WebSocket opens, but the gateway answers nothing, and no plain request either.");
  }
  const how = came === null ? `no reply comes within ${PATIENCE} s` : howClosed(came);
  return broken("other", `A WebSocket seems to open, but then ${how}; plain requests are answered.`);
}

async function answers(signal, path, target = "healthz") {
  return (await within(signal, PATIENCE, (inner) => path.request(inner, target)))?.status === 200;
}

async function refused(signal, path, id) {
  const { gateway } = (await path.evidence(signal, id)) ?? { gateway: null };
  if (gateway?.status === "426") {
    const lost = lostOf(gateway.request_headers);
    const version = printable(gateway.protocol.replace("HTTP/", ""), 10);
    const by = version === "1.1" ? "" : ` (it came as HTTP/${version})`;
    return broken("headers", `A WebSocket does not open: its request reached the gateway without its ${lost}${by}.`);
  }
  if (gateway?.status === "403") {
    return broken("headers", `The gateway refuses what arrived: ${printable(gateway.cause, 120)}.`, await likely());
  }
  const error = gateway ? ACCEPTED : NEVER_ARRIVED;
  if (await answers(signal, path)) {
    return broken("refused", `Plain requests are answered, but a WebSocket is not opened: ${error}.`, await likely());
  }
  return inconclusive(`The gateway does not answer at all: ${error}.`);
}

/** What a plain request to the same address shows, for the table. */
const likely = async () => ({ details: { likely: await diagnose("bidirectional") } });

function lostOf(headers) {
  const holds = (name, word) => headers.some((one) => one.name === name && one.value.toLowerCase().includes(word));
  const lost = [];
  if (!holds("upgrade", "websocket")) lost.push("Upgrade");
  if (!holds("connection", "upgrade")) lost.push("Connection: Upgrade");
  return lost.length ? `header${lost.length > 1 ? "s" : ""} ${lost.join(" and ")}` : "upgrade";
}
