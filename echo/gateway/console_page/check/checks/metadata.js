// `metadata`: does metadata pass unchanged, both ways?
//
// What we send is compared with what the server has recorded. The server is asked for each kind of metadata by a separate
// call. Repeated values are left out, because a browser joins them itself.

import { broken, inconclusive, survived } from "../finding.js";
import { UNARY, call, excuse } from "../grpc_web.js";
import { METADATA } from "../only_here.js";
import { inTurn } from "../time.js";
import { listed } from "../words.js";

const PATIENCE = 5; // Seconds for a call.
const AT_ONCE = 4;
const OCTETS = "AP8KPYDimIM"; // 0, 255, 10, 61, 128 and a snowman, in base64.

const DOTS = "x.probe.dots";
const SENT = {
  "x-probe-plain": 'Mixed case; "quotes", commas=and %41/~',
  "x-probe-octets-bin": OCTETS,
  x_probe_underscores: "one",
  [DOTS]: "one",
};
const WAYS = ["to the server", "in the headers of the reply", "in the trailers of the reply"];
const DONE = { dropped: "is dropped", rewritten: "is changed" };

export async function run(signal, path) {
  const why = await excuse(signal, PATIENCE);
  if (why) return inconclusive(why);
  const there = await sent(signal, path);
  const back = await asked(signal);
  const isAny = (found) => Object.keys(found).length > 0;
  if (typeof there === "string") return back.some(isAny) ? finding([{}, ...back]) : inconclusive(there);
  return [there, ...back].some(isAny) ? finding([there, ...back]) : survived(METADATA);
}

/** What changed in the metadata that we sent, by name; or why that is not known. */
async function sent(signal, path) {
  const id = path.newCallId();
  const answer = await call(signal, UNARY, { script: { "call-id": id }, headers: SENT, seconds: PATIENCE });
  const records = await path.serverSaw(signal, id);
  if (!records?.length) {
    const known = records && !answer.ok ? "the server has not seen it" : `what the server saw could not be fetched${path.hint}`;
    return `A call with metadata of every kind ended with ${answer.ending}, and ${known}.`;
  }
  const arrived = records.at(-1).request_headers;
  return differences((name) => arrived.filter((one) => one.name === name).map((one) => one.value));
}

/** What changed in the metadata that the server sent, by name: in heads and in trailers. */
async function asked(signal) {
  const [heads, trailers] = [{}, {}];
  const jobs = Object.entries(SENT).map(([name, value]) => async (inner) => {
    const wish = `${name}=${value}`;
    const script = { "set-header": wish, "set-trailer": wish };
    const answer = await call(inner, UNARY, { script, seconds: PATIENCE });
    if (!answer.ok) return; // The call itself failed.
    const head = judge(name, answer.head.has(name) ? [answer.head.get(name)] : []);
    const trailer = judge(
      name,
      answer.trailers.filter(([found]) => found === name).map(([, found]) => found),
    );
    if (head) heads[name] = head;
    if (trailer) trailers[name] = trailer;
  });
  await inTurn(signal, jobs, AT_ONCE);
  return [heads, trailers];
}

function differences(valuesOf) {
  const found = Object.keys(SENT).map((name) => [name, judge(name, valuesOf(name))]);
  return Object.fromEntries(found.filter(([, what]) => what));
}

/** What changed in a name's values; null if nothing did. */
function judge(name, arrived) {
  if (!arrived.length) return "dropped";
  const plain = (value) => (name.endsWith("-bin") ? value.replace(/=+$/, "") : value);
  return arrived.length === 1 && plain(arrived[0]) === SENT[name] ? null : "rewritten";
}

function finding(ways) {
  const details = Object.fromEntries(ways.map((names, way) => [WAYS[way], names]).filter(([, names]) => Object.keys(names).length));
  const cause = ways.some((names) => Object.values(names).includes("dropped")) ? "dropped" : "rewritten";
  const parts = new Map(); // Names that changed in the same directions -> those directions.
  ways.forEach((names, way) => {
    const some = Object.keys(SENT).filter((name) => names[name] === cause).join(", ");
    if (some) parts.set(some, [...(parts.get(some) ?? []), WAYS[way]]);
  });
  const told = [...parts].map(([names, where]) => `${listed(where)} (${names})`).join("; ");
  const dots = cause === "dropped" && [...parts.keys()].every((names) => names === DOTS);
  const what = `Metadata ${DONE[cause]} on the way: ${told}.`;
  return dots ? broken("dots", what, { details }) : broken(cause, what, { details });
}
