// `ws-cancel`: does the server notice when we leave a WebSocket? A page can only leave with a close frame.

import { broken, inconclusive, survived } from "../finding.js";
import { echoed, ending, isMessage } from "../talk.js";
import { now } from "../time.js";
import { fixed } from "../words.js";

const PROMPT = 5; // Seconds within which the server must have noticed.
const PATIENCE = 2; // Seconds for each answer.

export async function run(signal, path) {
  const id = path.newCallId();
  let began = NaN;
  const excuse = await path.websocket(signal, "bidirectional", { "call-id": id }, async (socket) => {
    if (!isMessage(await echoed(signal, socket, "hi", PATIENCE))) {
      return inconclusive("The WebSocket that was to be left got no reply.");
    }
    const seen = await path.serverSaw(signal, id, { until: () => true, seconds: PATIENCE });
    if (!seen?.length || seen.at(-1).ended) {
      return inconclusive(`It is not known whether the call reached the server${path.hint}.`);
    }
    began = now();
    socket.close(1000, "leaving");
    await ending(signal, socket, PATIENCE);
    return null;
  });
  if (excuse) return excuse;
  const seen = await path.serverSaw(signal, id, { seconds: PROMPT });
  if (!seen?.length) {
    return inconclusive(`What the server saw of the call can no longer be fetched${path.hint}.`);
  }
  if (!seen.at(-1).ended) {
    const how = "with a close frame";
    return broken("not-forwarded", `The server was still working on a call ${PROMPT} s after we had left its WebSocket ${how}.`);
  }
  const slowest = Math.max(now() - began, 0.1);
  return survived(`The server noticed within ${fixed(slowest, 1)} s that we had left a WebSocket.`);
}
