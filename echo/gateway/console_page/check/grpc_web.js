// gRPC-Web calls with protobuf messages, whose trailers a page can see. Does not touch the page.

import { printable } from "./finding.js";
import { parsed } from "./path.js";
import { route } from "../routes.js";
import { within } from "./time.js";

export const UNARY = "com.gopay.echo.Server/GetReply";
export const SERVER_STREAM = "com.gopay.echo.streaming.StreamingServer/ServerStream";
export const CLIENT_STREAM = "com.gopay.echo.streaming.StreamingServer/ClientStream";

export const STATUSES = [
  ...["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"],
  ...["PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"],
  ...["INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"],
];
export const UNHEEDED =
  "The server did not do as asked: is ECHO_SCRIPTING off, or does the path drop x-echo-* headers?";
const CONTENT_TYPE = "application/grpc-web+proto";
const TRAILERS = 0x80; // The flag of the frame that holds them.
const MARK = "x-probe-mark"; // Response metadata that shows that the server follows scripts.

const text = new TextEncoder();
const read = new TextDecoder();

// Messages

/** A length-delimited protobuf field. */
export function field(number, octets) {
  const length = [];
  let size = octets.length;
  for (; size > 0x7f; size >>>= 7) length.push((size & 0x7f) | 0x80);
  return joined([Uint8Array.of((number << 3) | 2, ...length, size), octets]);
}

/** A message of a method, holding this text. */
export function messageOf(method, words) {
  if (method === UNARY) return field(1, text.encode(words));
  return joined([field(1, text.encode("probe")), field(4, text.encode(words))]);
}

export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function framed(octets) {
  const head = new Uint8Array(5);
  new DataView(head.buffer).setUint32(1, octets.length);
  return joined([head, octets]);
}

// Calls

/**
 * The result of a call.
 *
 * `http` and `type` are the response's status and content type, empty without one; `head` its headers; `trailers` an array
 * of [name, value], null if none came; `replies` the sizes of the messages; `over` is whether the response has ended;
 * `failed` whether it was cut off.
 */
class Answer {
  http = 0;
  type = "";
  head = new Headers();
  trailers = null;
  replies = [];
  over = false;
  failed = false;
  seconds = 0;

  /** The value of a trailer; empty if it is missing. */
  trailer(name) {
    return this.trailers?.find(([found]) => found === name)?.[1] ?? "";
  }

  /** The status as a number; NaN without one. */
  get status() {
    const code = this.trailer("grpc-status");
    return /^\d+$/.test(code) ? Number(code) : NaN;
  }

  get ok() {
    return this.status === 0;
  }

  /** The status message. */
  get message() {
    return unescaped(this.trailer("grpc-message"));
  }

  /** How it ended, as a noun that can follow "ended with". */
  get ending() {
    if (this.trailers !== null) {
      const name = STATUSES[this.status] ?? `status ${printable(this.trailer("grpc-status"), 20)}`;
      return this.message ? `${name} (${printable(this.message, 120)})` : name;
    }
    const kind = printable(this.type, 40);
    if (this.http && this.http !== 200) return `HTTP ${this.http}${kind ? ` with ${kind}` : ""}`;
    if (kind && !kind.startsWith("application/grpc-web")) return `an answer of type ${kind}`;
    if (this.failed) return this.http ? "a reset" : "a lost connection";
    return this.over ? "an end without a status" : "no answer";
  }
}

/**
 * Make a call.
 *
 * @param {string} method Such as `UNARY`.
 * @param {{script?: object, headers?: object, messages?: Uint8Array[], seconds?: number, heard?: (answer: Answer) => void}} options
 *   What the server is to do, by name; further metadata; what to send, one message by default; how long it may take;
 *   what to call, with the answer as it is, whenever something has come.
 */
export async function call(signal, method, { script = {}, headers = {}, messages, seconds = 3, heard = () => {} } = {}) {
  const answer = new Answer();
  const asked = new Headers({ "content-type": CONTENT_TYPE, "x-grpc-web": "1", ...headers });
  for (const [name, value] of Object.entries(script)) asked.append(`x-echo-${name}`, value);
  const body = joined((messages ?? [messageOf(method, "hi")]).map(framed));
  const began = performance.now();
  await within(signal, seconds, async (inner) => {
    try {
      const response = await fetch(route(method), { method: "POST", headers: asked, body, cache: "no-store", signal: inner });
      await take(response, answer, heard);
    } catch (error) {
      inner.throwIfAborted();
      if (!(error instanceof TypeError)) throw error;
      answer.failed = true;
    }
  });
  answer.seconds = (performance.now() - began) / 1000;
  return answer;
}

async function take(response, answer, heard) {
  answer.http = response.status;
  answer.head = response.headers;
  answer.type = response.headers.get("content-type") ?? "";
  if (response.headers.has("grpc-status")) answer.trailers = [...response.headers];
  const frames = answer.type.startsWith("application/grpc-web") ? new Frames(answer) : { feed() {} };
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    frames.feed(value);
    heard(answer);
  }
  answer.over = true;
}

/** Parses the body; of messages only the sizes are kept. */
class Frames {
  #answer;
  #head = [];
  #left = 0; // Bytes of the frame that are still to come.
  #trailers = null; // Those of the frame of trailers.

  constructor(answer) {
    this.#answer = answer;
  }

  feed(octets) {
    for (let at = 0; at < octets.length; ) {
      if (this.#head.length < 5) {
        this.#head.push(octets[at]);
        at += 1;
        if (this.#head.length === 5) this.#begin();
      } else {
        const part = octets.subarray(at, at + this.#left);
        this.#trailers?.push(part);
        this.#left -= part.length;
        at += part.length;
      }
      if (this.#head.length === 5 && this.#left === 0) this.#end();
    }
  }

  #begin() {
    this.#left = new DataView(Uint8Array.from(this.#head).buffer).getUint32(1);
    this.#trailers = this.#head[0] & TRAILERS ? [] : null;
  }

  #end() {
    if (this.#trailers) this.#answer.trailers = pairsIn(read.decode(joined(this.#trailers)));
    else this.#answer.replies.push(new DataView(Uint8Array.from(this.#head).buffer).getUint32(1));
    this.#head = [];
  }
}

function pairsIn(block) {
  return block
    .split("\r\n")
    .filter((line) => line.includes(":"))
    .map((line) => [line.slice(0, line.indexOf(":")).trim().toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]);
}

function unescaped(words) {
  try {
    return decodeURIComponent(words);
  } catch {
    return words;
  }
}

/** Why nothing can be asked of the server, as a sentence; null if it does as it is asked, as far as we can see. */
export async function excuse(signal, seconds) {
  const script = { "set-header": `${MARK}=a`, "set-trailer": `${MARK}=z` };
  const answer = await call(signal, UNARY, { script, seconds });
  if (answer.head.has(MARK) || answer.trailer(MARK)) return null;
  if (answer.ok) return UNHEEDED;
  return `A plain call ended with ${answer.ending}, so this could not be checked.`;
}

/** Which server answered, by the report that it put into the trailers; empty if it put none. */
export const instanceIn = (answer) => String(parsed(answer.trailer("x-echo-report")).instance ?? "");
