// `status`: do all 17 status codes arrive, with their messages and details? The server is asked for each twice: after a
// reply, and at once, where head and trailers are one header list ("Trailers-Only").

import { broken, inconclusive, survived } from "../finding.js";
import { SERVER_STREAM, STATUSES, call, excuse, field, joined } from "../grpc_web.js";
import { inTurn } from "../time.js";

const PATIENCE = 5; // Seconds for a call.
const AT_ONCE = 4;
const MESSAGE = 'probe: naïve, 100% "déjà vu" ☃';
const NAMED = 3; // The most codes that a sentence names.
// Hops that count a server's failures count these, and avoid a server after several in a row.
const FAILURES = [2, 4, 12, 13, 14, 15];
const OTHERS = STATUSES.map((_, code) => code).filter((code) => !FAILURES.includes(code));
const ORDER = OTHERS.flatMap((code, index) => [code, ...FAILURES.slice(index, index + 1)]);

export async function run(signal) {
  const why = await excuse(signal, PATIENCE);
  if (why) return inconclusive(why);
  const jobs = ORDER.flatMap((code) => [false, true].map((alone) => (inner) => look(inner, code, alone)));
  const faults = (await inTurn(signal, jobs, AT_ONCE)).flat();
  faults.sort((one, other) => one.code - other.code || one.alone - other.alone);
  if (!faults.length) return survived(`All ${STATUSES.length} status codes arrive, with their messages and details.`);
  return finding(faults);
}

async function look(signal, code, alone) {
  const script = {
    status: `${code}:${encodeURIComponent(MESSAGE)}`,
    details: "true",
    count: "1",
    after: alone ? "0" : "1",
  };
  const answer = await call(signal, SERVER_STREAM, { script, seconds: PATIENCE });
  if (answer.status !== code) return [{ code, alone, what: "rewritten", came: answer.ending }];
  if (code === 0) return []; // Clients do not show a message or details that come with OK.
  const faults = [];
  if (answer.message !== MESSAGE) {
    faults.push({ code, alone, what: "message", came: answer.message ? `“${answer.message}”` : "nothing" });
  }
  const details = answer.trailer("grpc-status-details-bin");
  if (details.replace(/=+$/, "") !== base64(detailsOf(code))) {
    faults.push({ code, alone, what: "details", came: details ? "something else" : "nothing" });
  }
  return faults;
}

/** The google.rpc.Status that the server is to send: code, message, and one google.rpc.ErrorInfo. */
function detailsOf(code) {
  const octets = (words) => new TextEncoder().encode(words);
  const info = joined([field(1, octets("SCRIPTED")), field(2, octets("echo"))]);
  const detail = joined([field(1, octets("type.googleapis.com/google.rpc.ErrorInfo")), field(2, info)]);
  return joined([Uint8Array.of(1 << 3, code), field(2, octets(MESSAGE)), field(3, detail)]);
}

const base64 = (octets) => btoa(String.fromCharCode(...octets)).replace(/=+$/, "");

function finding(faults) {
  const details = Object.fromEntries(
    faults.map(({ code, alone, what, came }) => [`${STATUSES[code]}${alone ? " at once" : ""}: ${what}`, came]),
  );
  const what = ["rewritten", "message", "details"].find((one) => faults.some((fault) => fault.what === one));
  const some = faults.filter((fault) => fault.what === what);
  const example = what === "rewritten" ? `${STATUSES[some[0].code]} came as ${some[0].came}` : names(some);
  if (some.every((fault) => fault.alone)) {
    const lost = { rewritten: "its status", message: "its message", details: "its error details" }[what];
    const sentence = `A call that fails before its first reply loses ${lost} on the way: ${example}.`;
    return broken("trailers-only", sentence, { details });
  }
  if (what === "rewritten") {
    const number = new Set(some.map((fault) => fault.code)).size;
    if (some.every((fault) => fault.came.startsWith(STATUSES[0]))) {
      const sentence = `Calls that fail seem to succeed: ${number} of ${STATUSES.length} status codes arrive as OK.`;
      return broken("hidden", sentence, { details });
    }
    const sentence = `${number} of ${STATUSES.length} status codes ${number === 1 ? "does" : "do"} not arrive: ${example}.`;
    return broken(what, sentence, { details });
  }
  if (what === "message") {
    const came = `${some[0].came} arrives`;
    const sentence = `The status message is lost or changed on the way: where a server says “${MESSAGE}”, ${came}.`;
    return broken(what, sentence, { details });
  }
  const sentence = `The error details that come with a status are lost or changed on the way (${names(some)}).`;
  return broken(what, sentence, { details });
}

function names(faults) {
  const all = [...new Set(faults.map((fault) => STATUSES[fault.code]))];
  const more = all.length > NAMED ? ` and ${all.length - NAMED} more` : "";
  return all.slice(0, NAMED).join(", ") + more;
}
