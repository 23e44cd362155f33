// `half-close`: does the server see that we have sent everything, and do responses continue after that?
//
// The server responds slowly to a few messages, so that most responses come after our half-close. We make two calls: in
// one the last message carries the half-close, in the other it follows by itself.

import { broken, inconclusive, survived } from "../finding.js";
import { HALF_CLOSE, isClosed, message } from "../talk.js";
import { sleep, within } from "../time.js";

const MESSAGES = 4;
const INTERVAL = 0.25; // Seconds between the responses.
const PATIENCE = MESSAGES * INTERVAL + 2; // Seconds for the call to end after our half-close.
const BROKEN_OFF = ["cancelled", "reset", "connection lost"];

export async function run(signal, path) {
  for (const alone of [false, true]) {
    const finding = await tried(signal, path, alone);
    if (finding) return finding;
  }
  return survived("The server sees when we have sent everything, and its responses continue to arrive.");
}

/** Make a call and half-close it with the last message, or alone after it; null if all is well. */
async function tried(signal, path, alone) {
  const id = path.newCallId();
  const script = { "call-id": id, interval: `${INTERVAL * 1000}ms` };
  return path.websocket(signal, "bidirectional", script, async (socket) => {
    for (let number = 1; number <= MESSAGES; number += 1) {
      socket.send(message("hi", number === MESSAGES && !alone ? { half_close: true } : {}));
    }
    if (alone) {
      await sleep(signal, INTERVAL / 2);
      if (socket.closed) return inconclusive("The call was over before we had sent everything.");
      socket.send(HALF_CLOSE);
    }
    let came = 0;
    const end = await within(signal, PATIENCE, async (inner) => {
      for (;;) {
        const one = await socket.receive(inner);
        if (isClosed(one)) return one;
        came += 1;
      }
    });
    if (end?.code === 1000 && came === MESSAGES) return null;
    // The socket stays open: closing it would end the call, too.
    const isTold = (record) => record.ended || record.half_closed !== undefined;
    const records = await path.serverSaw(signal, id, { until: isTold, seconds: 1 });
    if (!records?.length) return inconclusive(`What the server saw of the call could not be fetched${path.hint}.`);
    return judged(records.at(-1), alone);
  });
}

/** What is wrong with a call that did not end normally. */
function judged(record, alone) {
  const details = { server_saw: record.outcome, responses_sent: record.messages_out, end_by_itself: alone };
  if (record.half_closed === undefined && !record.ended) {
    const what = "The server is never told that we have sent everything, so it waits for more.";
    return broken("not-seen", what, { details });
  }
  if (BROKEN_OFF.includes(record.outcome)) {
    const what = "The path resets a call when we have sent everything, though responses are still to come.";
    return broken("reset", what, { details });
  }
  if (record.outcome === "completed" && record.status === "OK") {
    const what = "Responses that the server sends after we have sent everything do not arrive.";
    return broken("reset", what, { details });
  }
  return inconclusive("The call itself failed, so its end could not be checked.", { details });
}
