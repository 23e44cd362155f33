// `cancel`: does the server notice when we cancel a call? We abort the request of a gRPC-Web call.

import { broken, inconclusive, survived } from "../finding.js";
import { SERVER_STREAM, UNHEEDED, call } from "../grpc_web.js";
import { now, scoped, together } from "../time.js";
import { fixed, plain } from "../words.js";

const PROMPT = 2; // Seconds within which the server must have noticed.
const LONG = 60; // Seconds that the call would go on.

export async function run(signal, path) {
  const id = path.newCallId();
  const script = { "call-id": id, count: "3", interval: `${LONG / 2}s` };
  let seen = null;
  let answered = false;
  await scoped(signal, (cancelling) =>
    together(signal, [
      (inner) => left(inner, cancelling.signal, script, () => (answered = true)),
      async (inner) => {
        try {
          seen = await path.serverSaw(inner, id, { until: hasReplied, seconds: PROMPT });
        } finally {
          cancelling.abort();
        }
      },
    ]),
  );
  if (!seen) return inconclusive(`What the server saw of the call could not be fetched${path.hint}.`);
  if (!seen.length && answered) return inconclusive(UNHEEDED); // It has seen the call, but not its name.
  if (!seen.length) return inconclusive(`The server has not seen the call that we wanted to cancel${path.hint}.`);
  const began = now();
  const records = await path.serverSaw(signal, id, { seconds: PROMPT });
  if (!records?.length) return inconclusive(`What the server saw of the call could not be fetched${path.hint}.`);
  const { ended, outcome } = records.at(-1);
  if (!ended) {
    return broken("not-forwarded", `The server was still working on a call ${plain(PROMPT)} s after we had cancelled it.`);
  }
  if (outcome === "completed") {
    return broken("not-forwarded", "To the server, a cancelled call looked like one that ended normally.");
  }
  const seconds = fixed(Math.max(now() - began, 0.1), 1);
  return survived(`The server noticed within ${seconds} s that a call was cancelled.`, { details: { outcome } });
}

/** The first reply has left. Otherwise a hop that only notices by writing might notice when it writes a late reply. */
const hasReplied = (record) => record.messages_out > 0;

/** Make the call, until it is cancelled. */
async function left(signal, cancelled, script, heard) {
  try {
    await call(cancelled, SERVER_STREAM, { script, headers: { "grpc-timeout": `${LONG}S` }, seconds: LONG, heard });
  } catch (error) {
    signal.throwIfAborted();
    if (!cancelled.aborted) throw error;
  }
}
