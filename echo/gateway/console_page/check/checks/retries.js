// `retries`: does the path repeat calls that failed.
//
// The server is asked to let calls fail in all the ways that products repeat calls for, and then how many times it saw
// each. The requests are plain ones, which proxies repeat sooner than others. A call that the server turned away may be
// repeated without harm if the path's owner wants that; any other may have taken effect. One call is broken off, at the
// end: more of them would have some hops think that no server is well any more.

import { broken, inconclusive, survived } from "../finding.js";
import { inTurn, within } from "../time.js";
import { listed } from "../words.js";

const PATIENCE = 4; // Seconds for a call.
const AT_ONCE = 3;
const LOOKS = 3; // Of each call: there may be several servers behind the path.
const BROKEN_OFF = "a broken-off call";
const TURNED_AWAY = ["UNAVAILABLE", "RESOURCE_EXHAUSTED"];
const SAFE_ORDER = ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED", "UNKNOWN", "CANCELLED", "DEADLINE_EXCEEDED"];
const WISHES = {
  ...Object.fromEntries(SAFE_ORDER.map((name) => [name, { status: `${name}:probe` }])),
  [BROKEN_OFF]: { reset: "INTERNAL_ERROR", after: "0" },
};
const ASKED = ["x-echo-status", "x-echo-reset"];

export async function run(signal, path) {
  const seen = {};
  const instances = new Set();
  const look = (name) => async (inner) => {
    const id = path.newCallId();
    await within(inner, PATIENCE, (limit) => path.request(limit, "grpc/probe", { "call-id": id, ...WISHES[name] }));
    const records = (await recordsOf(inner, path, id)).filter(wasAsked);
    if (records.length) seen[name] = records.length;
    for (const record of records) instances.add(record.instance);
  };
  const names = Object.keys(WISHES);
  await inTurn(signal, names.filter((name) => name !== BROKEN_OFF).map(look), AT_ONCE);
  await look(BROKEN_OFF)(signal);
  const details = Object.fromEntries(names.filter((name) => name in seen).map((name) => [name, seen[name]]));
  return finding(details, instances.size < 2, path);
}

const wasAsked = (record) => record.request_headers.some(({ name }) => ASKED.includes(name));

/** All attempts at a call that can be found. */
async function recordsOf(signal, path, id) {
  const found = new Map();
  for (let look = 0; look < LOOKS; look += 1) {
    const records = (await path.serverSaw(signal, id, { seconds: look ? 0 : 1 })) ?? [];
    for (const record of records) found.set(`${record.instance} ${record.attempt}`, record);
  }
  return [...found.values()];
}

function finding(details, alone, path) {
  const repeated = Object.keys(details).filter((name) => details[name] > 1);
  const most = (some) => Math.max(...some.map((name) => details[name]));
  const unsafe = repeated.filter((name) => !TURNED_AWAY.includes(name));
  if (unsafe.length) {
    const sentence =
      `The path repeats calls that may have taken effect: one that ${failed(unsafe)} reached the server ` +
      `${most(unsafe)} times.`;
    return broken("retried-unsafe", sentence, { details });
  }
  if (repeated.length) {
    const sentence =
      `The path repeats calls that the server turned away (${listed(repeated, "or")}): ` + `it saw one up to ${most(repeated)} times.`;
    return broken("retried", sentence, { details });
  }
  const all = Object.keys(WISHES).length;
  const missing = all - Object.keys(details).length;
  if (missing) {
    const what = missing === all ? "the calls" : `${missing} of ${all} calls`;
    return inconclusive(`What the server saw of ${what} cannot be had${path.hint}.`, { details });
  }
  if (!alone) {
    const sentence = "Several servers are behind the path, and not all can be asked; --direct for each would help.";
    return inconclusive(sentence, { details });
  }
  return survived(`The server saw each of ${all} failing calls once: the path repeats none.`, { details });
}

function failed(names) {
  const statuses = names.filter((name) => name !== BROKEN_OFF);
  const ways = statuses.length ? [`ended with ${listed(statuses, "or")}`] : [];
  return listed(names.includes(BROKEN_OFF) ? [...ways, "was broken off"] : ways, "or");
}
