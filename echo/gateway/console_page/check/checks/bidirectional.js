// `bidirectional`: do responses come while we still send.
//
// A message is sent, and its response awaited. Where none comes, the server says whether it has seen the message; then our
// side ends, and the server spends some time on further responses. If the first comes well before the last, it was held
// back for as long as we could send. Else requests or responses are held back altogether, which other checks tell.

import { broken, inconclusive, survived } from "../finding.js";
import { HALF_CLOSE, echoed, isClosed, isMessage, message } from "../talk.js";
import { now, within } from "../time.js";

const PATIENCE = 1.5; // Seconds for a response.
const MORE = 3; // Messages to be sent with our end,
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
    return survived("Responses come while we still send.");
  });
}

async function judged(signal, path, id, socket) {
  const records = await path.serverSaw(signal, id, { until: (record) => record.messages_out > 0, seconds: 1 });
  if (records === null) {
    return inconclusive(`No response came, and what the server saw cannot be had${path.hint}.`);
  }
  if (!records.at(-1)?.messages_out) {
    return inconclusive("The server has seen no message before our end, so it could not respond either.");
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
    return inconclusive("No response came, neither before our end nor after it.");
  }
  if (end.at - times[0] < INTERVAL) {
    return inconclusive("Responses are held back to the end of the call, whether we still send or not.");
  }
  return broken("held-to-end", "No response comes before we have sent everything: the path holds them back.");
}

/** What it means that the call was over before we had ended it. */
async function ended(signal, path, id, end) {
  const record = (await path.serverSaw(signal, id, { seconds: 1 }))?.at(-1);
  if (["cancelled", "reset", "connection lost"].includes(record?.outcome)) {
    const what = "The path broke off a call when a response came before we had sent everything.";
    return broken("held-to-end", what, { details: { server_saw: record.outcome } });
  }
  const status = end.code === 1011 ? end.reason.split(":")[0] : "";
  return inconclusive("The call failed by itself" + (status ? ` (status ${status}).` : "."));
}
