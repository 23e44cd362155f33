// `ws-messages`: do WebSocket messages pass unchanged, and how large can they be?
//
// Small messages test contents, order and boundaries, each kind on a socket of its own; but not messages in several frames,
// which a browser does not send. Then a message of the largest size that the gateway accepts is echoed; if that fails, the
// limit in each direction is searched for.

import { broken, inconclusive, limited, survived } from "../finding.js";
import { ASKED, Sizes, TooSlowError } from "../sizes.js";
import { howClosed, isClosed, isEcho, isInvalid, message } from "../talk.js";
import { now, together, within } from "../time.js";
import { fixed } from "../words.js";

const PATIENCE = 3; // Seconds for the messages of a socket.
const LONGEST = 12; // Seconds for everything.
const BURST = Array.from({ length: 30 }, (_, number) => `${number} größer 再见 🙂 ${"x".repeat((97 * number) % 600)}`);
const NO_TEXT = Uint8Array.of(0xff, 0x00, 0xfe, ...new TextEncoder().encode(" binary"));

export async function run(signal, path) {
  const until = now() + LONGEST - 2.5;
  const wrong = {};
  const jobs = Object.entries(KINDS).map(([name, ask]) => async (inner) => {
    const how = await path.websocket(inner, "bidirectional", {}, (socket) =>
      within(inner, PATIENCE, (limit) => ask(limit, socket), `no reply came within ${PATIENCE} s`),
    );
    if (how) wrong[name] = how;
  });
  await together(signal, jobs);
  const name = Object.keys(KINDS).find((one) => one in wrong);
  if (name) {
    return broken("altered", `${name} WebSocket messages do not pass as they were sent: ${wrong[name]}.`, { details: wrong });
  }
  const sizes = new Sizes(path, until);
  let how;
  try {
    how = await sizes.largest(signal);
  } catch (error) {
    if (!(error instanceof TooSlowError)) throw error;
    return inconclusive(`Small messages pass; there was no time to try one of 4 MiB: ${error.message}.`);
  }
  if (!how) {
    const sentence = "WebSocket messages of up to 4 MiB pass unchanged and in order, as text and as binary.";
    return survived(sentence, { limit: ASKED, unit: "bytes" });
  }
  const limits = [await sizes.search(signal, true), await sizes.search(signal, false)];
  return judged(how, limits.filter((limit) => limit.fails));
}

function judged(how, limits) {
  if (!limits.length) {
    return inconclusive(`A WebSocket message of 4 MiB was not echoed (${how}), but it passes each way separately.`);
  }
  const way = limits.length > 1 ? "both ways" : limits[0].up ? "to the server" : "to us";
  const least = limits.reduce((one, other) => (other.passes < one.passes ? other : one));
  const about = `WebSocket messages pass ${way} up to about ${bytes(least.passes)}`;
  const details = Object.fromEntries(limits.map((limit) => [limit.up ? "to_server" : "to_client", row(limit)]));
  const sentence = `${about}; at ${bytes(least.fails)} and more, ${least.how}.`;
  return limited("size", sentence, { limit: least.passes, unit: "bytes", details });
}

const row = ({ passes, fails, how }) => `${passes} bytes pass, ${fails} do not: ${how}`;

function bytes(size) {
  if (size >= 2 ** 20) return `${fixed(size / 2 ** 20, 2)} MiB`;
  return size >= 1024 ? `${fixed(size / 1024, 1)} KiB` : `${size} bytes`;
}

// The kinds of messages. Each returns what went wrong, or an empty string.

/** Many messages at once: whether all come back, and in order. */
async function small(signal, socket) {
  const came = [];
  let end = null;
  await within(signal, PATIENCE * 0.8, async (inner) => {
    for (const text of BURST) socket.send(message(text));
    while (came.length < BURST.length && end === null) {
      const one = await socket.receive(inner);
      if (isClosed(one)) end = one;
      else came.push(one);
      if (isInvalid(one)) break;
    }
  });
  if (came.length === BURST.length && came.every((one, index) => isEcho(one, BURST[index]))) return "";
  if (came.some(isInvalid)) return "what reached the gateway was cut, joined or changed";
  const known = came.flatMap((one) => BURST.filter((text) => isEcho(one, text)));
  if (known.length < came.length) return "what came back was changed";
  if (new Set(known).size < known.length) return "some came back twice";
  if (came.length === BURST.length) return "they came in another order";
  const lost = `of ${BURST.length} sent at once, ${BURST.length - came.length} were not answered`;
  return end === null ? lost : `${lost}, and ${howClosed(end)}`;
}

/** Binary messages, valid and invalid: the gateway reports the latter and continues. */
async function binary(signal, socket) {
  socket.send(new TextEncoder().encode(message("binary")));
  let came = await socket.receive(signal);
  if (isClosed(came)) return howClosed(came);
  if (!isEcho(came, "binary")) return "they were changed";
  socket.send(NO_TEXT);
  came = await socket.receive(signal);
  if (isClosed(came)) return `after bytes that are not text, ${howClosed(came)}`;
  return isInvalid(came) ? "" : "bytes that are not text were changed";
}

/** An empty message, which ends the call: the gateway closes. */
async function empty(signal, socket) {
  socket.send(message("hi"));
  const first = await socket.receive(signal);
  if (isClosed(first)) return howClosed(first);
  socket.send("");
  return isClosed(await socket.receive(signal)) ? "" : "they were changed";
}

const KINDS = { Small: small, Binary: binary, Empty: empty };
