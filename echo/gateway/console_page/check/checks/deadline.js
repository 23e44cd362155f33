// `deadline`: does the server hear how long a call may take.
//
// Calls by gRPC-Web with deadlines of different lengths, and one without any; the server says what arrived.

import { broken, inconclusive, limited, survived } from "../finding.js";
import { SERVER_STREAM, call } from "../grpc_web.js";
import { inTurn } from "../time.js";
import { plain, rounded } from "../words.js";

const ASKED = [5, 30, 300, 3600]; // Seconds.
const TOLERANCE = 0.1; // Of a deadline; what a call takes on its way is taken off it by some hops.
const ROUNDING = 0.001; // Seconds that a longer one may be off.
const PATIENCE = 3; // Seconds for each call.
const AT_ONCE = 2;

export async function run(signal, path) {
  const seen = await arrivals(signal, path);
  if (seen === null) return inconclusive(`What the server saw of the calls cannot be had${path.hint}.`);
  const details = Object.fromEntries(
    seen.map(({ asked, left }) => [asked === null ? "none" : `${plain(asked)} s`, left]),
  );
  return judged(seen.filter(({ asked }) => asked !== null), seen.at(-1).left, details);
}

/** What arrived of each deadline: {asked, left}, null where there was none; null unless that is known of all. */
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
    const how = none ? "is told the deadline of none of our calls" : "is not told every deadline";
    const what = `The server ${how}: it goes on working on calls that nobody waits for any more.`;
    return broken("missing", what, { details });
  }
  const longer = seen.find(({ asked, left }) => left > asked + Math.max(ROUNDING, asked * ROUNDING));
  if (longer) {
    const [left, asked] = [plain(longer.left), plain(longer.asked)];
    const what = `The server is told a longer deadline than ours: ${left} s where we said ${asked} s.`;
    return broken("changed", what, { details });
  }
  const short = seen.filter(({ asked, left }) => left < asked * (1 - TOLERANCE));
  if (short.length) {
    const lefts = short.map(({ left }) => left);
    const [longest, shortest] = [Math.max(...lefts), Math.min(...lefts)];
    if (longest - shortest <= 0.02 * longest && short.length < seen.length) {
      const what = `The path gives no call more than ${figures(longest)} s, whatever deadline we ask for.`;
      return limited("changed", what, { limit: rounded(longest, 1), unit: "s", details });
    }
    const { asked, left } = short.at(-1);
    const what = `The server is told a shorter deadline than ours: ${figures(left)} s where we said ${plain(asked)} s.`;
    return broken("changed", what, { details });
  }
  if (unasked !== null) {
    const what = `The path sets a deadline of ${figures(unasked)} s for calls that have none of their own.`;
    return limited("changed", what, { limit: rounded(unasked, 1), unit: "s", details });
  }
  return survived("The server is told the deadline of a call as we set it, and none where we set none.", { details });
}

const figures = (number) => String(Number(number.toPrecision(4)));
