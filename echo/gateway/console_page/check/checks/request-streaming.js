// `request-streaming`: does the server see each message when it is sent?
//
// We send a few messages one by one on a WebSocket, and the server says when each arrived. If they arrived together, we
// send large ones to find out whether a buffer has to fill, or we have to half-close.

import { broken, inconclusive, survived } from "../finding.js";
import { inLumps, kib, longestWait } from "../rhythm.js";
import { HALF_CLOSE, ending, message } from "../talk.js";
import { now, sleep } from "../time.js";
import { fixed, plain, rounded } from "../words.js";

const MESSAGES = 6;
const INTERVAL = 0.2; // Seconds between them.
const ROUNDS = 2; // A busy machine may hold messages back once.
const STEP = 16 * 1024; // Bytes of a large message,
const STEPS = 24; // and how many of them are sent,
const STEP_INTERVAL = 0.05; // so many seconds apart.
const PATIENCE = 2; // Seconds for the call to end after its last message.

export async function run(signal, path) {
  let seen;
  for (let round = 0; round < ROUNDS; round += 1) {
    seen = await sent(signal, path, MESSAGES, INTERVAL, "hi");
    if (!seen || seen.record.messages_in < MESSAGES) {
      return inconclusive(`It is not known when the messages reached the server${path.hint}.`);
    }
    if (!inLumps(arrivals(seen), INTERVAL)) return survived("The server sees each message as soon as it is sent.");
  }
  const wait = longestWait(arrivals(seen));
  if (wait > INTERVAL) { // Too few bytes to fill a buffer: a timer has released them.
    const what = `Our messages, sent ${plain(INTERVAL)} s apart, reach the server in lumps every ${fixed(wait, 1)} s.`;
    return broken("held-in-lumps", what, { details: { seconds: rounded(wait, 3) } });
  }
  const buffer = bufferOf(await sent(signal, path, STEPS, STEP_INTERVAL, "x".repeat(STEP)));
  const details = { buffer };
  if (buffer !== null) {
    const what = `The path holds our messages back until about ${kib(buffer)} have accumulated.`;
    return broken("held-in-lumps", what, { details });
  }
  const waited = fixed(seen.ended - seen.times[0], 1);
  const what = `The path holds our messages back until we have sent the last one, ${waited} s in this case.`;
  return broken("held-to-end", what, { details });
}

const arrivals = ({ record }) => record.message_times_in.map((at) => at / 1e9);

/** Send messages one by one, then half-close: {times, ended, record}; null if the server's record could not be fetched. */
async function sent(signal, path, count, interval, text) {
  const id = path.newCallId();
  const times = [];
  let ended = NaN;
  await path.websocket(signal, "client", { "call-id": id }, async (socket) => {
    for (let number = 0; number < count; number += 1) {
      socket.send(message(text));
      times.push(now());
      await sleep(signal, interval);
    }
    ended = now();
    socket.send(HALF_CLOSE);
    await ending(signal, socket, PATIENCE);
  });
  const record = (await path.serverSaw(signal, id))?.at(-1);
  return record ? { times, ended, record } : null;
}

/** Bytes that we had to send before the server saw the first message; null if it saw none before our half-close. */
function bufferOf(seen) {
  if (!seen || seen.record.half_closed === undefined || !seen.record.message_times_in.length) return null;
  const early = (seen.record.half_closed - seen.record.message_times_in[0]) / 1e9;
  if (early < 0.1) return null;
  return STEP * Math.max(1, seen.times.filter((at) => at <= seen.ended - early + 0.02).length);
}
