// `stream-idle`: how long does a silent stream live, behind a WebSocket that is as silent. Where it is the WebSocket that
// is cut, it is the business of `ws-idle`; the gateway says so by its close code where it is the call.

import { inconclusive, limited, survived } from "../finding.js";
import { climb } from "../ladder.js";
import { SOCKETS_ARE_CUT } from "../only_here.js";
import { fixed, plain, rounded } from "../words.js";

export async function run(signal, path) {
  const { silent, busy, failed } = await climb(signal, path);
  if (failed.length) return inconclusive("No stream was answered to begin with, so none could be kept silent.");
  const cuts = [...silent, busy].filter((life) => life.end);
  if (!cuts.length) {
    const sentence = `A stream on which nothing is said lives for ${plain(path.idle)} s.`;
    return survived(sentence, { limit: path.idle, unit: "s" });
  }
  const first = cuts.reduce((one, other) => (other.lived < one.lived ? other : one));
  if (first.end.code !== 1011) return inconclusive(SOCKETS_ARE_CUT);
  if (busy.end) {
    const lived = fixed(busy.lived, 1);
    return inconclusive(`The path cuts off busy streams after ${lived} s as well, so it is not for their silence.`);
  }
  const how = "the call is broken off";
  const sentence = `A stream on which nothing is said is cut off by the path after ${fixed(first.lived, 1)} s: ${how}.`;
  return limited("reset", sentence, { limit: rounded(first.lived, 1), unit: "s" });
}
