// `message-size`: how large can a message be, in each direction?
//
// A call with a small reply tests messages to the server, a call with a small request those from the server. If the server
// itself refuses a size, which it says, that is its own limit and not the path's.

import { inconclusive, limited, survived } from "../finding.js";
import { CLIENT_STREAM, STATUSES, UNARY, UNHEEDED, call, messageOf } from "../grpc_web.js";
import { now } from "../time.js";
import { capital, fixed, sizeInWords } from "../words.js";

const ASKED = 4 * 2 ** 20; // Bytes: what the server accepts.
const PATIENCE = 3; // Seconds that a message of that size may take.
const WITHIN = 4; // Seconds for each direction.
const LEAST = 1024; // A size that must get through.
const PRECISION = 256; // The bounds may differ by the smaller divided by this,
const FINEST = 1024; // or by this many bytes.
const WORDS = { request: "to the server", response: "from the server" };
const EXHAUSTED = STATUSES.indexOf("RESOURCE_EXHAUSTED");
const INVALID = STATUSES.indexOf("INVALID_ARGUMENT");

export async function run(signal, path) {
  const ways = [];
  for (const kind of Object.keys(WORDS)) {
    const way = { kind, fits: 0, fails: ASKED + 1, came: "", late: false, seconds: 0, own: false, unlike: false };
    await explore(signal, path, way);
    ways.push(way);
  }
  return finding(ways);
}

async function explore(signal, path, way) {
  const until = now() + WITHIN;
  if (!(await fits(signal, path, way, LEAST, WITHIN / 3))) {
    way.unlike = true;
    return;
  }
  way.fits = LEAST;
  // The largest may use all the time available: a slow path is not a limit.
  if (await fits(signal, path, way, ASKED, 2.5 * (WITHIN / 3))) {
    way.fits = ASKED;
    return;
  }
  way.fails = ASKED;
  while (way.fails - way.fits > Math.max(FINEST, way.fits / PRECISION) && now() < until) {
    const size = way.fits + Math.floor((way.fails - way.fits) / 2);
    if (await fits(signal, path, way, size, WITHIN / 3)) way.fits = size;
    else way.fails = size;
  }
}

async function fits(signal, path, way, size, seconds) {
  const id = path.newCallId();
  const up = way.kind === "request";
  const script = { "call-id": id, ...(up ? {} : { size: `${size}B` }) };
  const messages = up ? [filled(size)] : undefined;
  const answer = await call(signal, up ? CLIENT_STREAM : UNARY, { script, messages, seconds });
  const fit = answer.ok && (up || answer.replies.some((reply) => reply >= size - 1));
  if (fit) way.seconds = answer.seconds;
  else if (!way.came) {
    way.came = answer.message || answer.ending;
    way.late = !answer.over && !answer.failed;
    way.own = await refusedByServer(signal, path, id, answer);
  }
  return fit;
}

/** A message of so many bytes. */
function filled(size) {
  const length = (words) => messageOf(CLIENT_STREAM, "m".repeat(words)).length;
  const words = size - (length(size) - size);
  return messageOf(CLIENT_STREAM, "m".repeat(words + (size - length(words))));
}

async function refusedByServer(signal, path, id, answer) {
  if (answer.status === INVALID && answer.message.includes("x-echo-size")) return true;
  if (answer.status !== EXHAUSTED) return false;
  const records = await path.serverSaw(signal, id, { seconds: 0.5 });
  return Boolean(records?.some((record) => record.status === "RESOURCE_EXHAUSTED"));
}

const isShort = (way) => !way.unlike && !way.own && way.fits < ASKED;

/** Whether a larger message would have run out of time, at the speed of those that got through. */
const isSlow = (way) => isShort(way) && way.late && way.seconds * ASKED > (PATIENCE / 2) * way.fits;

const what = (way) => `messages ${WORDS[way.kind]}`;

function finding(ways) {
  const details = Object.fromEntries(ways.filter((way) => !way.unlike).map((way) => [way.kind, way.fits]));
  const short = ways.filter((way) => isShort(way) && !isSlow(way));
  if (short.length) {
    const least = short.reduce((one, other) => (other.fits < one.fits ? other : one));
    const told = short.map((way) => `${what(way)} get through up to ${sizeInWords(way.fits)}`).join(" and ");
    const sentence = `${told}, while the server accepts ${sizeInWords(ASKED)}; a larger one fails: ${least.came}.`;
    return limited(least.kind, capital(sentence), { limit: least.fits, unit: "bytes", details });
  }
  const slow = ways.find(isSlow);
  if (slow) {
    const soFar = `${sizeInWords(slow.fits)} took ${fixed(slow.seconds, 1)} s`;
    return inconclusive(`The path is too slow to try ${sizeInWords(ASKED)}: ${soFar}.`, { details });
  }
  const unlike = ways.find((way) => way.unlike);
  if (unlike?.came === "OK") return inconclusive(UNHEEDED, { details });
  if (unlike) {
    const sentence = `Small ${what(unlike)} do not get through as asked (${unlike.came}), so no limit could be found.`;
    return inconclusive(sentence, { details });
  }
  const least = Math.min(...ways.map((way) => way.fits));
  const own = ways.some((way) => way.own) ? ", which is the server's own limit" : "";
  const sentence = `Messages of up to ${sizeInWords(least)} get through in each direction${own}.`;
  return survived(sentence, { limit: least, unit: "bytes", details });
}
