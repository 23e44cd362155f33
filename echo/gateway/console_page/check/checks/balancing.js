// `balancing`: which servers answer the calls on one connection, and on many?
//
// Each reply to a gRPC-Web call says which server it came from. Calls made one after the other share a connection; calls
// made at once are spread over several connections by the browser, where HTTP/1.1 is spoken.

import { inconclusive, limited, survived } from "../finding.js";
import { UNARY, call, instanceIn } from "../grpc_web.js";
import { inTurn } from "../time.js";

const CALLS = 20; // One after the other: if two servers are chosen at random, all go to one once in 500,000 times.
const CONNECTIONS = 12;
const PATIENCE = 4; // Seconds for a call.

export async function run(signal, path) {
  const ask = async (inner) =>
    instanceIn(await call(inner, UNARY, { script: { report: "true" }, seconds: PATIENCE }));
  const ofMany = counted(await inTurn(signal, new Array(CONNECTIONS).fill(ask), CONNECTIONS));
  const ofOne = counted(await inTurn(signal, new Array(CALLS).fill(ask), 1));
  for (const name of [...Object.keys(ofOne), ...Object.keys(ofMany)]) path.instances.add(name);
  return finding(path, ofOne, ofMany);
}

/** How many calls each server answered, without replies that do not name their server. */
function counted(names) {
  const found = {};
  for (const name of names.filter(Boolean)) found[name] = (found[name] ?? 0) + 1;
  return found;
}

function finding(path, ofOne, ofMany) {
  const [one, many] = [Object.keys(ofOne), Object.keys(ofMany)];
  const known = [...new Set([...one, ...many])].sort();
  const details = { known, calls_of_one_connection: ofOne, calls_of_many_connections: ofMany };
  if (!one.length || !many.length) {
    return inconclusive(`No reply says which server it came from${path.hint}.`, { details });
  }
  const more = { limit: 1, unit: "servers", details };
  if (known.length === 1) return survived("One server answers all calls, and no other is known.", more);
  if (one.length === 1) {
    const sentence =
      "All calls on a connection go to one server; " + `other connections reach ${many.length} of ${known.length} known.`;
    return limited("one-instance", sentence, more);
  }
  const sentence = `Calls on one connection go to ${one.length} of ${known.length} known servers.`;
  return survived(sentence, { ...more, limit: one.length });
}
