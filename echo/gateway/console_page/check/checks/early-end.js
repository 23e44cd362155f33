// `early-end`: does the reply arrive if the server ends a call while we are still sending?
//
// The server ends one call after two responses, and another without any, while we continue to send. We compare what arrives
// with what the server says it sent. If that differs, we do the same after sending everything: what is lost then, too, is
// reported by other checks.

import { broken, inconclusive, survived } from "../finding.js";
import { HALF_CLOSE, UNHEEDED_QUERY, echoed, ending, isClosed, isMessage, message } from "../talk.js";
import { within } from "../time.js";

const STATUS = "FAILED_PRECONDITION"; // No hop sends it of its own accord.
const SIZE = 4096; // Bytes of a message.
const INTERVAL = 0.05; // Seconds between messages.
const PATIENCE = 1.5; // Seconds for the end.
const CASES = [
  { stream: "bidirectional", responses: 2 },
  { stream: "client", responses: 0 },
];

export async function run(signal, path) {
  for (const one of CASES) {
    const finding = await tried(signal, path, one);
    if (finding) return finding;
  }
  return survived("If the server ends a call while we are still sending, its whole reply arrives.");
}

const scriptOf = ({ responses }) => ({ status: `${STATUS}:enough`, after: String(responses), delay: "200ms" });

const isWhole = ({ came, end }, { responses }) =>
  end?.code === 1011 && end.reason.startsWith(STATUS) && came >= responses;

/** Make a call that the server ends early; null if the whole reply arrives. */
async function tried(signal, path, one) {
  const id = path.newCallId();
  const seen = { came: 0, end: null };
  const excuse = await path.websocket(signal, one.stream, { "call-id": id, ...scriptOf(one) }, async (socket) => {
    await within(signal, PATIENCE, (inner) => sendUntilOver(inner, socket, seen));
    if (isWhole(seen, one)) return null;
    const records = await path.serverSaw(signal, id, { seconds: 1 });
    if (records === null) return inconclusive(`What the server saw of the call could not be fetched${path.hint}.`);
    if (!records.length && seen.came > one.responses) return inconclusive(UNHEEDED_QUERY);
    const record = records.at(-1);
    if (!record || (!record.ended && record.messages_in < one.responses)) {
      return inconclusive("The server sees no message before we have sent everything, so it could not end the call early.");
    }
    if (record.outcome !== "completed" || record.status !== STATUS) {
      return inconclusive("The server did not end the call as it was asked to.");
    }
    if (socket.isOpen) {
      socket.send(HALF_CLOSE);
      await within(signal, PATIENCE, (inner) => takeAll(inner, socket, seen));
      if (isWhole(seen, one)) return inconclusive("The reply arrives, but only after we have sent everything.");
    }
    return undefined;
  });
  if (excuse !== undefined) return excuse;
  if (!(await responds(signal, path))) {
    return inconclusive("No response at all arrives while we are still sending.");
  }
  if (!(await comesLate(signal, path, one))) {
    return inconclusive("The end of a call does not arrive complete even after we have sent everything.");
  }
  const lost = seen.came >= one.responses ? "the status is" : "responses and the status are";
  return broken("lost", `When the server ends a call while we are still sending, ${lost} lost on the way.`);
}

async function sendUntilOver(signal, socket, seen) {
  while (seen.end === null && socket.send(message("x".repeat(SIZE)))) {
    await within(signal, INTERVAL, (inner) => takeAll(inner, socket, seen));
  }
  await takeAll(signal, socket, seen);
}

/** Take what comes, until the end. */
async function takeAll(signal, socket, seen) {
  while (seen.end === null) {
    const one = await socket.receive(signal);
    if (isClosed(one)) seen.end = one;
    else seen.came += 1;
  }
}

/** Whether a response other than the last arrives while we are still sending. */
function responds(signal, path) {
  return path.websocket(signal, "bidirectional", {}, async (socket) =>
    isMessage(await echoed(signal, socket, "hi", PATIENCE)),
  );
}

/** Whether the whole reply arrives after we have sent everything. */
function comesLate(signal, path, one) {
  return path.websocket(signal, one.stream, scriptOf(one), async (socket) => {
    for (let number = 0; number < 3; number += 1) socket.send(message("hi"));
    socket.send(HALF_CLOSE);
    const end = await ending(signal, socket, PATIENCE);
    return end?.code === 1011 && end.reason.startsWith(STATUS);
  });
}
