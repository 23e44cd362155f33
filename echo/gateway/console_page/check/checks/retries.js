// `retries`: does the path retry failed calls?
//
// The server is asked to fail calls in all the ways that make products retry, and then how many times it saw each. The
// requests are plain GETs, which proxies retry sooner than others. Calls that the server rejected can be retried without
// harm if the path's owner wants that; any other call may have taken effect. Only one call is reset, at the end: more would
// make some hops consider all servers unhealthy.

import { broken, inconclusive, survived } from "../finding.js";
import { inTurn, within } from "../time.js";
import { listed } from "../words.js";

const PATIENCE = 4; // Seconds for a call.
const AT_ONCE = 3;
const LOOKS = 3; // Times to ask for each call's records: there may be several servers behind the path.
const BROKEN_OFF = "a reset";
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

/** All known attempts at a call. */
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
      `The path retries calls that may have taken effect: one that ${failed(unsafe)} reached the server ` +
      `${most(unsafe)} times.`;
    return broken("retried-unsafe", sentence, { details });
  }
  if (repeated.length) {
    const sentence =
      `The path retries calls that the server rejected (${listed(repeated, "or")}): ` + `it saw one up to ${most(repeated)} times.`;
    return broken("retried", sentence, { details });
  }
  const all = Object.keys(WISHES).length;
  const missing = all - Object.keys(details).length;
  if (missing) {
    const what = missing === all ? "the calls" : `${missing} of ${all} calls`;
    return inconclusive(`What the server saw of ${what} could not be fetched${path.hint}.`, { details });
  }
  if (!alone) {
    const sentence = "Several servers are behind the path, and not all of them can be asked; --direct for each would help.";
    return inconclusive(sentence, { details });
  }
  return survived(`The server saw each of ${all} failing calls once: the path retries none.`, { details });
}

function failed(names) {
  const statuses = names.filter((name) => name !== BROKEN_OFF);
  const ways = statuses.length ? [`ended with ${listed(statuses, "or")}`] : [];
  return listed(names.includes(BROKEN_OFF) ? [...ways, "was reset"] : ways, "or");
}
