// `ws-idle`: how long does a silent WebSocket stay open? A page cannot ping, so one with constant messages shows whether the
// others are cut for their silence or for their age.

import { broken, inconclusive, limited, survived } from "../finding.js";
import { climb, pauseOf } from "../ladder.js";
import { withMessages } from "../only_here.js";
import { howClosed } from "../talk.js";
import { fixed, plain, rounded } from "../words.js";

export async function run(signal, path) {
  const { silent, busy, failed } = await climb(signal, path);
  if (failed.length) {
    return inconclusive(`${failed.length} of ${silent.length + 1} WebSockets did not open: ${failed[0]}.`);
  }
  return judged(silent, busy, path.idle);
}

function judged(silent, busy, idle) {
  const details = { sockets: [row("busy", busy), ...silent.map((life) => row("silent", life))] };
  if (busy.end?.code === 1001 && busy.end.reason === "going away") {
    return inconclusive("The gateway shut down meanwhile, and closed all WebSockets.", { details });
  }
  const dead = silent.filter((life) => life.end);
  if (!dead.length && busy.end) {
    const how = `${howClosed(busy.end)} after ${fixed(busy.lived, 0)} s`;
    const word = "used";
    return broken("age", `A silent WebSocket stays open for ${plain(idle)} s, but one that is ${word} does not: ${how}.`);
  }
  if (!dead.length) {
    const pings = "";
    const sentence = `A silent WebSocket stays open for ${plain(idle)} s or more${pings}, and so does a busy one.`;
    return survived(sentence, { limit: idle, unit: "s", details });
  }
  const first = dead.reduce((one, other) => (other.lived < one.lived ? other : one));
  const longest = Math.max(0, ...silent.filter((life) => !life.end).map((life) => life.asked));
  if (longest > first.lived) {
    const lived = fixed(first.lived, 0);
    const sentence = `A WebSocket was cut after ${lived} s, but another was silent for ${plain(longest)} s and survived.`;
    return inconclusive(sentence, { details });
  }
  const when = first.noticed ? `after ${fixed(first.lived, 0)} s` : `between ${plain(longest)} and ${plain(first.asked)} s`;
  const more = { limit: first.noticed ? rounded(first.lived, 1) : longest, unit: "s", details };
  const cut = `A silent WebSocket is cut ${when} (${howClosed(first.end)})`;
  if (first.end.code === 1011) {
    return limited("behind", `${cut}: the gateway's own call to the server ended, so it was cut behind the gateway.`, more);
  }
  const pause = `every ${plain(pauseOf(idle))} s`;
  if (!busy.end) return limited("cut", `${cut}${withMessages(pause)}.`, more);
  const lived = fixed(busy.lived, 0);
  const why = `; one with messages ${pause} is also cut, after ${lived} s, so silence is not the reason`;
  return limited("age", `${cut}${why}.`, more);
}

function row(way, life) {
  const end = life.end ? `${howClosed(life.end)} after ${fixed(life.lived, 1)} s` : "lived";
  return `${way}, ${plain(life.asked)} s: ${end}`;
}
