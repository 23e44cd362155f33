// `response-streaming`: do we see each response when it is sent?
//
// The server sends a few responses one by one: on a WebSocket, and by gRPC-Web, because some hops only hold back plain HTTP.
// If they arrive together although the server took its time, it is asked for large ones, to find out whether a buffer has
// to fill, or the call has to end.

import { broken, inconclusive, survived } from "../finding.js";
import { SERVER_STREAM, call } from "../grpc_web.js";
import { BY_GRPC_WEB } from "../only_here.js";
import { inLumps, kib, longestWait } from "../rhythm.js";
import { howClosed, isClosed, message } from "../talk.js";
import { now, within } from "../time.js";
import { fixed, plain, rounded } from "../words.js";

const RESPONSES = 6;
const INTERVAL = 0.2; // Seconds between them.
const ROUNDS = 2; // A busy machine may hold responses back once.
const STEP = 16 * 1024; // Bytes of a large response,
const STEPS = 24; // how many of them are asked for,
const STEP_INTERVAL = 0.05; // and how many seconds apart.
const PATIENCE = 5; // Seconds for a call.

export async function run(signal, path) {
  const onSocket = await judged(signal, path, onWebSocket);
  if (onSocket.outcome !== "survived") return onSocket;
  const otherwise = await judged(signal, path, byGrpcWeb);
  if (otherwise.outcome !== "broken") return onSocket; // Other checks report whether such calls get through at all.
  return { ...otherwise, details: { ...otherwise.details, likely: BY_GRPC_WEB } };
}

async function judged(signal, path, asked) {
  const script = { count: String(RESPONSES), interval: `${INTERVAL * 1000}ms` };
  let seen;
  for (let round = 0; round < ROUNDS; round += 1) {
    seen = await asked(signal, path, script);
    if (seen.how || !seen.came.length) {
      return inconclusive(`The call with the responses failed (${seen.how || "no answer"}).`);
    }
    const times = seen.came.map(({ at }) => at);
    if (!inLumps(times, INTERVAL)) return survived("Each response reaches us as soon as it is sent.");
  }
  const took = await secondsOf(signal, path, seen.id);
  if (took === null || took < (INTERVAL * (seen.came.length - 1)) / 2) {
    return inconclusive(`It is not known when the server sent its responses${path.hint}.`);
  }
  const wait = longestWait(seen.came.map(({ at }) => at));
  if (wait > INTERVAL) { // Too few bytes to fill a buffer: a timer has released them.
    const what = `Responses, sent ${plain(INTERVAL)} s apart, reach us in lumps every ${fixed(wait, 1)} s.`;
    return broken("held-in-lumps", what, { details: { seconds: rounded(wait, 3) } });
  }
  const buffer = await bufferOf(signal, path, asked);
  const details = { buffer };
  if (buffer !== null) {
    const what = `The path holds responses back until about ${kib(buffer)} have accumulated.`;
    return broken("held-in-lumps", what, { details });
  }
  const what = `The path holds responses back until the call has ended, ${fixed(took, 1)} s in this case.`;
  return broken("held-to-end", what, { details });
}

/** Seconds that the server took for a call; null if that is not known. */
async function secondsOf(signal, path, callId) {
  const record = (await path.serverSaw(signal, callId))?.at(-1);
  return record?.ended ? (record.ended - record.started) / 1e9 : null;
}

// Both request responses: {id, began, came: [{at, size}], ended, how}; `how` it ended, if not normally.

async function onWebSocket(signal, path, script) {
  const seen = { id: path.newCallId(), began: null, came: [], ended: null, how: "no answer" };
  await path.websocket(signal, "server", { "call-id": seen.id, ...script }, (socket) =>
    within(signal, PATIENCE, async (inner) => {
      seen.began = now();
      socket.send(message("hi"));
      for (;;) {
        const one = await socket.receive(inner);
        if (isClosed(one)) {
          seen.ended = one.at;
          seen.how = one.code === 1000 ? "" : howClosed(one);
          return;
        }
        seen.came.push({ at: now(), size: one.length });
      }
    }),
  );
  return seen;
}

async function byGrpcWeb(signal, path, script) {
  const seen = { id: path.newCallId(), began: now(), came: [], ended: null, how: "" };
  const heard = ({ replies }) => {
    for (const size of replies.slice(seen.came.length)) seen.came.push({ at: now(), size });
  };
  const answer = await call(signal, SERVER_STREAM, { script: { "call-id": seen.id, ...script }, seconds: PATIENCE, heard });
  if (answer.over) seen.ended = now();
  if (!answer.ok) seen.how = answer.ending;
  return seen;
}

/** Bytes that the server had to send before we saw the first; null if we saw none before the end. */
async function bufferOf(signal, path, asked) {
  const script = { count: String(STEPS), interval: `${STEP_INTERVAL * 1000}ms`, size: String(STEP) };
  const { id, began, came, ended } = await asked(signal, path, script);
  if (ended === null || !came.length || ended - came[0].at < 2 * STEP_INTERVAL) return null;
  const took = await secondsOf(signal, path, id);
  // The end of the call released them, however slowly they arrived after that.
  if (took !== null && came[0].at - began > took - STEP_INTERVAL / 2) return null;
  return came.filter(({ at }) => at < came[0].at + STEP_INTERVAL / 2).reduce((sum, { size }) => sum + size, 0);
}
