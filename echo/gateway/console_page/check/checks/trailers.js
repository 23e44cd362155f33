// `trailers`: does the end of a call arrive, with its status and metadata? The gateway puts it into the body (gRPC-Web);
// anything lost behind the gateway is missing there.

import { broken, inconclusive, survived } from "../finding.js";
import { UNARY, UNHEEDED, call } from "../grpc_web.js";

const PATIENCE = 5; // Seconds for the call.
const [HEADER, TRAILER] = ["x-echo-probe-head", "x-echo-probe-tail"];

export async function run(signal) {
  const script = { "set-header": `${HEADER}=a`, "set-trailer": `${TRAILER}=z` };
  const answer = await call(signal, UNARY, { script, seconds: PATIENCE });
  if (answer.trailers === null) {
    if (!answer.replies.length) return inconclusive(`A plain call ended with ${answer.ending}, so this could not be checked.`);
    const end = answer.over ? "it was cut off before the status" : "the call was left hanging";
    return broken("status-lost", `The reply came, but its end did not: ${end}.`);
  }
  if (!answer.ok) {
    return inconclusive(`The call ended with ${answer.ending}, so its end could not be checked.`);
  }
  if (answer.trailer(TRAILER)) return survived("The end of a call arrives, with its status and the trailing metadata.");
  if (answer.head.has(HEADER)) {
    return broken("metadata-lost", "The end of a call arrives, but trailing metadata is lost on the way.");
  }
  return inconclusive(UNHEEDED);
}
