// `stream-duration`: how long does a busy stream stay open?
//
// Messages flow on streams of two kinds: on one we send and get replies; on the other we have sent everything, and
// responses continue. There are two of each kind, the second begun a little later: if both are cut off at the same age,
// age is the reason; if both are cut off at the same moment, it was an accident.

import { inconclusive, limited, survived } from "../finding.js";
import { RefusedError } from "../path.js";
import { HALF_CLOSE, UNHEEDED_QUERY, echoed, ending, isClosed, isMessage, message } from "../talk.js";
import { now, sleep, together, within } from "../time.js";
import { fixed, plain, rounded } from "../words.js";

const STAGGER = 2; // Seconds between the two of a kind.
const SAME = 1; // Two ages that differ by less, in seconds, count as the same.
const BEAT = 0.4; // Seconds between messages.
const ANSWER = 3; // Seconds that an answer may take.

export async function run(signal, path) {
  const keep = (sending, number) => (inner) => kept(inner, path, number * STAGGER, sending);
  const lives = await together(signal, [keep(true, 0), keep(true, 1), keep(false, 0), keep(false, 1)]);
  return judged(lives.slice(0, 2), lives.slice(2), path.idle);
}

function judged(sending, receiving, asked) {
  const lives = [...sending, ...receiving];
  const details = {
    while_we_send: sending.map((life) => life.age),
    after_we_have_sent_everything: receiving.map((life) => life.age),
  };
  if (lives.some((life) => life.byServer)) {
    return inconclusive("The server itself ends connections or calls of that age.", { details });
  }
  if (lives.some((life) => life.unheeded)) return inconclusive(UNHEEDED_QUERY, { details });
  const [before, after] = [ageOf(sending), ageOf(receiving)];
  if (before !== null || after !== null) {
    const limit = rounded(Math.min(before ?? Infinity, after ?? Infinity), 1);
    let when = "";
    if (before === null || after === null) when = before === null ? " once we have sent everything" : " while we are still sending";
    const sentence = `The path cuts off a call after ${fixed(limit, 1)} s${when}, although messages flow on it.`;
    const more = { limit, unit: "s", details };
    return before === null ? limited("response-cut", sentence, more) : limited("cut", sentence, more);
  }
  if (lives.every((life) => life.complete)) {
    const what = `A busy call stays open for ${plain(asked)} s`;
    return survived(`${what}.`, { limit: asked, unit: "s", details });
  }
  if (lives.some((life) => life.age !== null)) {
    return inconclusive("A busy call was cut off, but another one like it stayed open for longer.", { details });
  }
  return inconclusive("Not all of the busy calls ended as they should.", { details });
}

function ageOf([first, second]) {
  if (first.age === null || second.age === null || Math.abs(first.age - second.age) > SAME) return null;
  return Math.min(first.age, second.age);
}

/**
 * Keep a stream busy for the time asked for: {flowed, age, complete, byServer, unheeded}; `flowed` is whether messages came
 * at all, `age` is its age when it was cut off, or null, `unheeded` whether the server ended it sooner than asked.
 */
async function kept(signal, path, after, sending) {
  const life = { flowed: false, age: null, complete: false, byServer: false, unheeded: false };
  const { idle } = path;
  const id = path.newCallId();
  const count = Math.ceil(idle / BEAT) + 1;
  const script = sending ? {} : { count: String(count), interval: `${BEAT * 1000}ms` };
  await sleep(signal, after);
  try {
    await path.websocket(signal, sending ? "bidirectional" : "server", { "call-id": id, ...script }, async (socket) => {
      const began = now();
      const end = sending
        ? await talk(signal, socket, began + idle, life)
        : await listen(signal, socket, count * BEAT + ANSWER, life);
      life.complete = end?.code === 1000;
      life.unheeded = !sending && life.complete && now() - began < idle - 3 * BEAT;
      const last = socket.closed?.at ?? now();
      if (life.flowed && !life.complete && last - began < idle) life.age = last - began;
    });
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    return life;
  }
  if (life.age !== null) {
    const records = await path.serverSaw(signal, id, { seconds: 1 });
    life.byServer = ["draining", "deadline"].includes(records?.at(-1)?.outcome);
  }
  return life;
}

/** Send messages until then, each answered, and half-close. */
async function talk(signal, socket, until, life) {
  while (now() < until) {
    if (!isMessage(await echoed(signal, socket, "hi", ANSWER))) return socket.closed;
    life.flowed = true;
    await within(signal, BEAT, (inner) => socket.end(inner));
    if (socket.closed) return socket.closed;
  }
  socket.send(HALF_CLOSE);
  return ending(signal, socket, ANSWER);
}

/** Receive responses until there are no more. */
async function listen(signal, socket, seconds, life) {
  socket.send(message("hi"));
  return within(signal, seconds, async (all) => {
    for (;;) {
      const came = await within(all, ANSWER + BEAT, (inner) => socket.receive(inner));
      if (came === null || isClosed(came)) return came;
      life.flowed = true;
    }
  });
}
