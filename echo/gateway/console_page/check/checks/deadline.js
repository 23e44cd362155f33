// `deadline`: does the server learn the deadline of a call?
//
// We make gRPC-Web calls with different deadlines, and one without; the server says which deadlines arrived.

import { broken, inconclusive, limited, survived } from "../finding.js";
import { SERVER_STREAM, call, excuse } from "../grpc_web.js";
import { inTurn } from "../time.js";
import { plain, rounded } from "../words.js";

const ASKED = [5, 30, 300, 3600]; // Seconds.
const TOLERANCE = 0.1; // Fraction of a deadline; some hops subtract the time that a call takes on its way.
const ROUNDING = 0.001; // Seconds by which a deadline may be longer.
const PATIENCE = 3; // Seconds for each call.
const AT_ONCE = 2;

export async function run(signal, path) {
  const why = await excuse(signal, PATIENCE);
  if (why) return inconclusive(why);
  const seen = await arrivals(signal, path);
  if (seen === null) return inconclusive(`What the server saw of the calls could not be fetched${path.hint}.`);
  const details = Object.fromEntries(
    seen.map(({ asked, left }) => [asked === null ? "none" : `${plain(asked)} s`, left]),
  );
  return judged(seen.filter(({ asked }) => asked !== null), seen.at(-1).left, details);
}

/** The deadline that arrived for each one sent: {asked, left}, null for none; null unless all are known. */
async function arrivals(signal, path) {
  const jobs = [...ASKED, null].map((asked) => async (inner) => {
    const id = path.newCallId();
    const headers = asked === null ? {} : { "grpc-timeout": `${asked}S` };
    const script = { "call-id": id, count: "1" };
    await call(inner, SERVER_STREAM, { script, headers, seconds: PATIENCE });
    const records = await path.serverSaw(inner, id, { until: () => true, seconds: 1 });
    return records?.length ? { asked, left: records.at(-1).deadline_left ?? null } : null;
  });
  const seen = await inTurn(signal, jobs, AT_ONCE);
  return seen.includes(null) ? null : seen;
}

function judged(seen, unasked, details) {
  const lost = seen.filter(({ left }) => left === null);
  if (lost.length) {
    const none = lost.length === seen.length;
    const how = none ? "is not told the deadline of any of our calls" : "is told only some of our deadlines";
    const what = `The server ${how}: it keeps working on calls that nobody is waiting for.`;
    return broken("missing", what, { details });
  }
  const longer = seen.find(({ asked, left }) => left > asked + Math.max(ROUNDING, asked * ROUNDING));
  if (longer) {
    const [left, asked] = [plain(longer.left), plain(longer.asked)];
    const what = `The server is told a longer deadline than ours: ${left} s instead of ${asked} s.`;
    return broken("changed", what, { details });
  }
  const short = seen.filter(({ asked, left }) => left < asked * (1 - TOLERANCE));
  if (short.length) {
    const lefts = short.map(({ left }) => left);
    const [longest, shortest] = [Math.max(...lefts), Math.min(...lefts)];
    if (longest - shortest <= 0.02 * longest && short.length < seen.length) {
      const what = `The path limits every call to ${figures(longest)} s, whatever deadline we set.`;
      return limited("changed", what, { limit: rounded(longest, 1), unit: "s", details });
    }
    const { asked, left } = short.at(-1);
    const what = `The server is told a shorter deadline than ours: ${figures(left)} s instead of ${plain(asked)} s.`;
    return broken("changed", what, { details });
  }
  if (unasked !== null) {
    const what = `The path sets a deadline of ${figures(unasked)} s on calls that have none.`;
    return limited("changed", what, { limit: rounded(unasked, 1), unit: "s", details });
  }
  return survived("The server is told the deadlines that we set, and none where we set none.", { details });
}

const figures = (number) => String(Number(number.toPrecision(4)));
