// `bidirectional`: do responses arrive while we are still sending?
//
// We send a message and wait for its response. If none comes, the server says whether it has seen the message. Then we
// half-close, and the server spends some time on further responses. If the first arrives well before the last, it was held
// back only while we could send. Otherwise requests or responses are always held back, which other checks report.

import { broken, inconclusive, survived } from "../finding.js";
import { HALF_CLOSE, echoed, endingOf, isClosed, isMessage, message } from "../talk.js";
import { now, within } from "../time.js";

const PATIENCE = 1.5; // Seconds for a response.
const MORE = 3; // Messages sent along with our half-close,
const INTERVAL = 0.4; // and seconds between the server's responses.

export async function run(signal, path) {
  const id = path.newCallId();
  const script = { "call-id": id, interval: `${INTERVAL * 1000}ms` };
  return path.websocket(signal, "bidirectional", script, async (socket) => {
    for (let number = 0; number < 2; number += 1) {
      const came = await echoed(signal, socket, "hi", PATIENCE);
      if (isClosed(came)) return ended(signal, path, id, came);
      if (came === null) return judged(signal, path, id, socket);
    }
    return survived("Responses arrive while we are still sending.");
  });
}

async function judged(signal, path, id, socket) {
  const records = await path.serverSaw(signal, id, { until: (record) => record.messages_out > 0, seconds: 1 });
  if (records === null) {
    return inconclusive(`No response came, and what the server saw could not be fetched${path.hint}.`);
  }
  if (!records.at(-1)?.messages_out) {
    return inconclusive("The server saw no message before we had sent everything, so it could not respond either.");
  }
  for (let number = 0; number < MORE; number += 1) socket.send(message("hi"));
  socket.send(HALF_CLOSE);
  const times = [];
  const end = await within(signal, INTERVAL * MORE + PATIENCE, async (inner) => {
    let came = await socket.receive(inner);
    for (; isMessage(came); came = await socket.receive(inner)) times.push(now());
    return came;
  });
  if (end === null || !times.length) {
    return inconclusive("No response came, neither before we had sent everything nor after.");
  }
  if (end.at - times[0] < INTERVAL) {
    return inconclusive("Responses are held back until the call ends, whether we are still sending or not.");
  }
  return broken("held-to-end", "No response arrives until we have sent everything: the path holds them back.");
}

/** The finding if the call was over before we had half-closed. */
async function ended(signal, path, id, end) {
  const record = (await path.serverSaw(signal, id, { seconds: 1 }))?.at(-1);
  if (["cancelled", "reset", "connection lost"].includes(record?.outcome)) {
    const what = "The path reset a call when a response came before we had sent everything.";
    return broken("held-to-end", what, { details: { server_saw: record.outcome } });
  }
  return inconclusive(`The call itself ended with ${endingOf(end)}.`);
}
