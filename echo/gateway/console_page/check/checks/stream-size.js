// `stream-size`: how many bytes can a stream carry in total, in each direction?
//
// We send many small messages on a WebSocket and count how many arrive; for ours, the server's record says so. A stream
// that stalls counts as cut; one that is merely slow does not.

import { inconclusive, limited, survived } from "../finding.js";
import { excuse } from "../grpc_web.js";
import { HALF_CLOSE, UNHEEDED_QUERY, howClosed, isClosed, message, told } from "../talk.js";
import { now, sleep, within } from "../time.js";
import { capital, fixed, sizeInWords } from "../words.js";

const MESSAGE = 8 * 1024;
const NUMBER = (8 * 2 ** 20) / MESSAGE;
const PATIENCE = 5; // Seconds for each direction.
const STILL = 2.5; // Seconds without progress after which a stream counts as stalled.
const BACKLOG = 256 * 1024; // Bytes that the browser may hold unsent.
const WORDS = { request: "to the server", response: "from the server" };

export async function run(signal, path) {
  const why = await excuse(signal, PATIENCE);
  if (why) return inconclusive(why);
  const ways = [];
  for (const [kind, carry] of [["request", up], ["response", down]]) {
    const way = { kind, arrived: null, ended: "", done: false, unheeded: false };
    await within(signal, PATIENCE, (inner) => watch(inner, path, way, carry));
    ways.push(way);
  }
  return finding(path, ways);
}

/** Run a stream until it ends or stalls. */
async function watch(signal, path, way, carry) {
  const id = path.newCallId();
  await carry(signal, path, way, id);
  way.done = true;
  if (way.arrived === null) {
    const records = await path.serverSaw(signal, id, { seconds: 1 });
    way.arrived = records?.length ? Math.max(...records.map((record) => record.messages_in)) : null;
  }
}

function up(signal, path, way, id) {
  return path.websocket(signal, "client", { "call-id": id }, async (socket) => {
    const text = message("m".repeat(MESSAGE - message("").length));
    for (let sent = 0; sent < NUMBER; sent += 1) {
      if (!(await drained(signal, socket))) break;
      socket.send(text);
    }
    socket.send(HALF_CLOSE);
    const came = await within(signal, STILL, (inner) => socket.receive(inner));
    if (came === null) way.ended = still();
    else if (isClosed(came)) way.ended = why(came);
    else way.arrived = told(came).sequence_number ?? null;
  });
}

/** Wait until the browser has sent most of it; returns whether it has and the socket is open. */
async function drained(signal, socket) {
  let least = socket.buffered;
  for (let moved = now(); socket.isOpen && socket.buffered > BACKLOG && now() < moved + STILL; ) {
    await sleep(signal, 0.01);
    if (socket.buffered < least) [least, moved] = [socket.buffered, now()];
  }
  return socket.isOpen && socket.buffered <= BACKLOG;
}

function down(signal, path, way, id) {
  way.arrived = 0;
  const script = { "call-id": id, count: String(NUMBER), interval: "0s", size: `${MESSAGE}B` };
  return path.websocket(signal, "server", script, async (socket) => {
    socket.send(message("hi"));
    for (;;) {
      const came = await within(signal, STILL, (inner) => socket.receive(inner));
      if (came === null) way.ended = still();
      else if (isClosed(came)) way.ended = came.code === 1000 ? "" : why(came);
      else if (came.length < MESSAGE) way.unheeded = true;
      else {
        way.arrived += 1;
        continue;
      }
      return;
    }
  });
}

/** Why a call failed, as the server or a hop says; or how its socket ended. */
function why(end) {
  const status = end.code === 1011 ? /^[A-Z_]+(?:: (.+))?$/s.exec(end.reason) : null;
  return status ? (status[1] ?? status[0]) : howClosed(end);
}

const still = () => `nothing moved for ${fixed(STILL, 1)} s`;
const bytes = (way) => (way.arrived ?? 0) * MESSAGE;
const what = (way) => `stream ${WORDS[way.kind]}`;

function finding(path, ways) {
  const details = Object.fromEntries(ways.filter((way) => way.arrived !== null).map((way) => [way.kind, bytes(way)]));
  const asked = sizeInWords(NUMBER * MESSAGE);
  if (ways.some((way) => way.unheeded)) return inconclusive(UNHEEDED_QUERY);
  const short = ways.filter((way) => way.done && way.arrived !== null && way.arrived < NUMBER);
  if (short.length) {
    const told = short.map((way) => cut(way, asked)).join("; ");
    const least = short.reduce((one, other) => (bytes(other) < bytes(one) ? other : one));
    const limit = bytes(least) || null; // If nothing arrived, a smaller stream might have.
    return limited(least.kind, `${capital(told)}.`, { limit, unit: "bytes", details });
  }
  for (const way of ways) {
    if (way.done && way.arrived === null) {
      const sentence = `A ${what(way)} failed (${way.ended}); how much of it arrived is not known${path.hint}.`;
      return inconclusive(sentence, { details });
    }
    if (!way.done) {
      return inconclusive(`The path is too slow to carry ${asked} in the available time.`, { details });
    }
    if (way.ended) {
      return inconclusive(`A ${what(way)} arrived complete, but did not end normally (${way.ended}).`, { details });
    }
  }
  const sentence = `Streams of ${asked} in small messages get through in each direction.`;
  return survived(sentence, { limit: NUMBER * MESSAGE, unit: "bytes", details });
}

function cut(way, asked) {
  if (!way.arrived) return `nothing of ${asked} arrived on a ${what(way)}` + (way.ended ? `: ${way.ended}` : "");
  const how = way.ended ? `: ${way.ended}` : ", though the call ended as if nothing was missing";
  return `a ${what(way)} was cut after ${sizeInWords(bytes(way))} of ${asked}${how}`;
}
