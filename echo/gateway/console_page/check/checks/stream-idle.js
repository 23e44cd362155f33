// `stream-idle`: how long does a silent stream stay open, behind a WebSocket that is just as silent? If the WebSocket is cut,
// `ws-idle` reports it; if the call is, the gateway's close code shows that. On another stream we have half-closed: if that
// one survives, the path only limits how long it waits for us.

import { inconclusive, limited, survived } from "../finding.js";
import { PATIENCE, climb } from "../ladder.js";
import { SOCKETS_ARE_CUT } from "../only_here.js";
import { RefusedError } from "../path.js";
import { ending, isMessage, message } from "../talk.js";
import { together, within } from "../time.js";
import { fixed, plain, rounded } from "../words.js";

const SLACK = 1.5; // Two cuts this many seconds apart count as having the same reason.
const LONGER = 60; // Seconds that the server stays silent beyond the time asked for.

export async function run(signal, path) {
  const [climbed, silence] = await together(signal, [
    () => climb(signal, path), // In the outer scope, because other checks use it too.
    (inner) => silenceOfServer(inner, path),
  ]);
  return judged(climbed, silence, path.idle);
}

function judged({ silent, busy, failed }, silence, idle) {
  if (failed.length) return inconclusive("No stream was answered at all, so none could be left silent.");
  const cuts = [...silent, busy].filter((life) => life.end);
  if (!cuts.length) {
    return survived(`A silent stream stays open for ${plain(idle)} s.`, { limit: idle, unit: "s" });
  }
  const first = cuts.reduce((one, other) => (other.lived < one.lived ? other : one));
  if (first.end.code !== 1011) return inconclusive(SOCKETS_ARE_CUT);
  if (busy.end) {
    const lived = fixed(busy.lived, 1);
    return inconclusive(`The path cuts off busy streams after ${lived} s as well, so silence is not the reason.`);
  }
  const [at, more] = [fixed(first.lived, 1), { limit: rounded(first.lived, 1), unit: "s" }];
  if (silence > first.lived + SLACK) {
    const sentence =
      `The path waits ${at} s for our next message on a stream, then resets the call; ` +
      "once we have sent everything, the server may be silent for longer.";
    return limited("our-silence", sentence, more);
  }
  const how = "the call is reset";
  return limited("reset", `The path cuts off a silent stream after ${at} s: ${how}.`, more);
}

/** Seconds for which the server could be silent on a call that we had half-closed; 0 if it was cut off. */
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
