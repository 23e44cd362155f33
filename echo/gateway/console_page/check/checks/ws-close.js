// `ws-close`: do WebSocket close codes and reasons arrive, both ways?
//
// The gateway answers our close frame with the code and the reason that it received, so what comes back has gone both ways.
// It also records the code, since a hop may have answered in its place. Two closes are the gateway's own: 1000 at the end
// of a call, and 1011 with the status of a failed one. A page may close with 1000, or with 3000 and above.

import { broken, inconclusive, printable, survived } from "../finding.js";
import { LOST } from "../socket.js";
import { HALF_CLOSE, UNHEEDED_QUERY, echoed, ending, isClosed, isMessage, message, told } from "../talk.js";
import { inTurn, within } from "../time.js";

const PATIENCE = 3; // Seconds for each answer.
const FAILURE = "grüße: 再见";
const AT_ONCE = 4;

// A reason has at most 123 bytes.
const OURS = new Map([
  [1000, "done"],
  [3000, "a".repeat(123)],
  [4999, "é".repeat(61)],
]);

export async function run(signal, path) {
  const cases = [];
  const dead = [];
  const jobs = [...OURS].map((sent) => (inner) => ours(inner, path, sent, cases, dead));
  jobs.push((inner) => theirs(inner, path, cases), (inner) => failed(inner, path, cases, dead));
  await inTurn(signal, jobs, AT_ONCE);
  const wrong = cases.filter((one) => !arrived(one));
  if (wrong.length) return changed(wrong, cases.length);
  if (dead.length) return inconclusive(dead[0]);
  const codes = [...OURS.keys()].join(", ");
  return survived(`Close codes and reasons arrive unchanged, both ways (${codes}).`);
}

async function ours(signal, path, sent, cases, dead) {
  const id = path.newCallId();
  const came = await path.websocket(signal, "bidirectional", { "call-id": id }, async (socket) => {
    if (!isMessage(await echoed(signal, socket, "hi", PATIENCE))) {
      dead.push("Not every close could be tried: a message got no reply.");
      return undefined;
    }
    socket.close(...sent);
    return ending(signal, socket, PATIENCE);
  });
  if (came === undefined) return;
  const heard = (await path.gatewaySaw(signal, id))?.status ?? "";
  cases.push({ ours: true, sent, came, heard: /^\d+$/.test(heard) ? Number(heard) : null });
}

/** The call ends with OK: the gateway closes with 1000. */
async function theirs(signal, path, cases) {
  const came = await path.websocket(signal, "bidirectional", {}, (socket) => {
    socket.send(HALF_CLOSE);
    return ending(signal, socket, PATIENCE);
  });
  cases.push({ ours: false, sent: [1000, ""], came, heard: null });
}

/** The call fails: the gateway closes with 1011 and the call's status. */
async function failed(signal, path, cases, dead) {
  const came = await path.websocket(signal, "bidirectional", { status: `14:${FAILURE}`, after: "1" }, async (socket) => {
    const first = await echoed(signal, socket, "hi", PATIENCE);
    if (!isMessage(first)) return first;
    // If the server does not do as asked, it answers this.
    return within(signal, PATIENCE, (inner) => {
      socket.send(message("still there?"));
      return socket.receive(inner);
    });
  });
  if (Object.keys(told(came)).length) {
    dead.push(UNHEEDED_QUERY);
    return;
  }
  cases.push({ ours: false, sent: [1011, `UNAVAILABLE: ${FAILURE}`], came: isClosed(came) ? came : null, heard: null });
}

/** Whether it arrived as it was sent. */
function arrived({ sent: [code, reason], came, heard }) {
  return came?.code === code && came.reason === reason && (heard === null || heard === code);
}

function changed(wrong, tried) {
  const order = (one) => [gravity(one), one.ours ? 0 : 1, one.sent[0]];
  const [worst] = [...wrong].sort((one, other) => {
    const [a, b] = [order(one), order(other)];
    return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
  });
  const more = wrong.length > 1 ? ` (${wrong.length} of ${tried} closes were changed)` : "";
  const [code, reason] = worst.sent;
  const sent = `code ${code}` + (reason ? ` and “${printable(reason, 40)}”` : "");
  const who = worst.ours ? "A WebSocket that we closed with" : "A WebSocket that the gateway closed with";
  return broken("rewritten", `${who} ${sent} ended ${asCame(worst)}${more}.`, { details: { closes: wrong.map(row) } });
}

function gravity({ came, sent }) {
  if (came === null || came.code === LOST) return 0;
  return came.code === sent[0] ? 2 : 1;
}

function asCame({ came, sent: [code, reason], heard }) {
  if (came === null) return `without a close frame from the other side, and stayed open for ${PATIENCE} s`;
  if (came.code === LOST) return `without a close frame from the other side: ${came.reason}`;
  if (came.code === code && came.reason === reason) {
    const outcome = heard === LOST ? "ended without a close frame" : `was closed with code ${heard}`;
    return `that way for us, but for the gateway it ${outcome}`;
  }
  if (came.code === code) {
    return came.reason ? `with that code but the reason “${printable(came.reason, 40)}”` : "without the reason";
  }
  const name = came.code === 1005 ? "no code" : `code ${came.code}`;
  return `with ${name}`;
}

function row({ ours: mine, sent: [code, reason], came, heard }) {
  let end = came === null ? "nothing" : `${came.code} ${came.reason}`;
  if (heard !== null) end += ` (the gateway: ${heard})`;
  return `${mine ? "we" : "gateway"}: ${code} ${reason} -> ${end}`;
}
