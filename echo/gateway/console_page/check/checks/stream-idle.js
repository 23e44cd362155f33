// `stream-idle`: how long does a silent stream live, behind a WebSocket that is as silent. Where it is the WebSocket that
// is cut, it is the business of `ws-idle`; the gateway says so by its close code where it is the call. On one more we have
// sent everything: if that lives on, it is only for us that the path does not wait.

import { inconclusive, limited, survived } from "../finding.js";
import { PATIENCE, climb } from "../ladder.js";
import { SOCKETS_ARE_CUT } from "../only_here.js";
import { RefusedError } from "../path.js";
import { ending, isMessage, message } from "../talk.js";
import { together, within } from "../time.js";
import { fixed, plain, rounded } from "../words.js";

const SLACK = 1.5; // Seconds by which two things may differ that are cut off for the same reason.
const LONGER = 60; // Seconds that the server is silent for beyond what is asked of the path.

export async function run(signal, path) {
  const [climbed, silence] = await together(signal, [
    () => climb(signal, path), // In the outer scope, as it is for others, too.
    (inner) => silenceOfServer(inner, path),
  ]);
  return judged(climbed, silence, path.idle);
}

function judged({ silent, busy, failed }, silence, idle) {
  if (failed.length) return inconclusive("No stream was answered to begin with, so none could be kept silent.");
  const cuts = [...silent, busy].filter((life) => life.end);
  if (!cuts.length) {
    return survived(`A silent stream lives for ${plain(idle)} s.`, { limit: idle, unit: "s" });
  }
  const first = cuts.reduce((one, other) => (other.lived < one.lived ? other : one));
  if (first.end.code !== 1011) return inconclusive(SOCKETS_ARE_CUT);
  if (busy.end) {
    const lived = fixed(busy.lived, 1);
    return inconclusive(`The path cuts off busy streams after ${lived} s as well, so it is not for their silence.`);
  }
  const [at, more] = [fixed(first.lived, 1), { limit: rounded(first.lived, 1), unit: "s" }];
  if (silence > first.lived + SLACK) {
    const sentence =
      `The path waits ${at} s for our next message on a stream, then breaks off the call; ` +
      "where we have sent everything, the server may be silent for longer.";
    return limited("our-silence", sentence, more);
  }
  const how = "the call is broken off";
  return limited("reset", `The path cuts off a silent stream after ${at} s: ${how}.`, more);
}

/** Seconds for which the server could be silent on a call on which we have sent everything; 0 if it was cut off. */
async function silenceOfServer(signal, path) {
  const script = { count: "2", interval: `${path.idle + LONGER}s` };
  try {
    return await path.websocket(signal, "server", script, async (socket) => {
      socket.send(message("hi"));
      if (!isMessage(await within(signal, PATIENCE, (inner) => socket.receive(inner)))) return 0;
      await ending(signal, socket, path.idle);
      return socket.closed ? 0 : path.idle;
    });
  } catch (error) {
    if (error instanceof RefusedError) return 0;
    throw error;
  }
}
