// `cancel`: does the server hear of it when we cancel a call: one by gRPC-Web, whose request is aborted.

import { broken, inconclusive, survived } from "../finding.js";
import { SERVER_STREAM, call } from "../grpc_web.js";
import { now, scoped, together } from "../time.js";
import { fixed, plain } from "../words.js";

const PROMPT = 2; // Seconds within which the server must have heard of it.
const LONG = 60; // Seconds that the call would go on.

export async function run(signal, path) {
  const id = path.newCallId();
  const script = { "call-id": id, count: "3", interval: `${LONG / 2}s` };
  let seen = null;
  await scoped(signal, (cancelling) =>
    together(signal, [
      (inner) => left(inner, cancelling.signal, script),
      async (inner) => {
        try {
          seen = await path.serverSaw(inner, id, { until: hasReplied, seconds: PROMPT });
        } finally {
          cancelling.abort();
        }
      },
    ]),
  );
  if (!seen?.length) return inconclusive(`The server has not seen the call that was to be cancelled${path.hint}.`);
  const began = now();
  const records = await path.serverSaw(signal, id, { seconds: PROMPT });
  if (!records?.length) return inconclusive(`What the server saw of the call cannot be had${path.hint}.`);
  const { ended, outcome } = records.at(-1);
  if (!ended) {
    return broken("not-forwarded", `The server still worked on a call ${plain(PROMPT)} s after we had cancelled it.`);
  }
  if (outcome === "completed") {
    return broken("not-forwarded", "The server took a cancelled call for one that ended in good order.");
  }
  const seconds = fixed(now() - began, 1);
  return survived(`The server heard within ${seconds} s that a call was cancelled.`, { details: { outcome } });
}

/** The first reply has left. A hop that only finds out by writing would else find out by that, if it came late. */
const hasReplied = (record) => record.messages_out > 0;

/** Make the call, until it is cancelled. */
async function left(signal, cancelled, script) {
  try {
    await call(cancelled, SERVER_STREAM, { script, headers: { "grpc-timeout": `${LONG}S` }, seconds: LONG });
  } catch (error) {
    signal.throwIfAborted();
    if (!cancelled.aborted) throw error;
  }
}
