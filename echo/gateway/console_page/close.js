// What the end of a WebSocket means, in words (RFC 6455 §7.4.1, and how this gateway uses it). Does not touch the page.

import { duration } from "./format.js";

const CODES = {
  1000: ["normal closure", "The call ended OK: every response came before this."],
  1001: ["going away", "The gateway is shutting down. Connect again: another one may answer."],
  1002: ["protocol error", "The other side received a frame that RFC 6455 does not allow. A proxy may have changed it."],
  1003: ["unsupported data", "The other side does not accept this kind of message."],
  1005: ["no status", "A close frame without a code. This gateway sends one only in answer to another."],
  1006: ["abnormal closure", "The connection broke without a close frame."],
  1007: ["invalid data", "The stream cannot take this message: it must be JSON, in UTF-8."],
  1008: ["policy violation", "The other side refuses by policy. This gateway never sends this, so something in between did."],
  1009: ["message too big", "A message exceeded the limit of the gateway (GRPC_MAX_MESSAGE_SIZE) or of a proxy."],
  1010: ["extension missing", "The browser asked for an extension that it did not get."],
  1011: ["the call failed", "The gRPC call ended in an error."],
  1012: ["service restart", "A proxy says that its service is restarting. This gateway does not send this."],
  1013: ["try again later", "A proxy is overloaded. This gateway does not send this."],
  1014: ["bad gateway", "A proxy got no valid answer from its backend. This gateway does not send this."],
  1015: ["TLS failure", "The TLS handshake failed."],
};

const STATUSES = {
  CANCELLED: "it was cancelled",
  UNKNOWN: "the server failed without saying how",
  INVALID_ARGUMENT: "the server does not accept the message",
  DEADLINE_EXCEEDED: "the deadline passed first",
  NOT_FOUND: "there is no such thing on the server",
  ALREADY_EXISTS: "it exists already",
  PERMISSION_DENIED: "it is not permitted",
  RESOURCE_EXHAUSTED: "a limit or a quota is used up",
  FAILED_PRECONDITION: "the server is not in a state for it",
  ABORTED: "the server aborted it",
  OUT_OF_RANGE: "a value is out of range",
  UNIMPLEMENTED: "the server has no such method",
  INTERNAL: "something is broken in the server or in between",
  UNAVAILABLE: "the server went away, or can't be reached",
  DATA_LOSS: "data were lost",
  UNAUTHENTICATED: "there are no valid credentials",
};

const LONG_IDLE = 5_000; // Milliseconds without a message after which an end may be an idle timeout's.

/**
 * The meaning of a close.
 *
 * @param {{code: number, reason: string, opened: boolean, idle: number, ours: boolean, left: boolean}} end What
 *   happened: whether the socket had been open, for how many ms no message had passed, whether this page closed it, and
 *   whether it left without waiting for the other side; there is no code then.
 * @returns {{title: string, text: string, tone: "good" | "fair" | "bad"}}
 */
export function meaning({ code, reason, opened, idle, ours, left }) {
  if (left) {
    const text = "This page sent a close frame without a code and did not wait for the answer, so it is not known how the call ended.";
    return { title: "left without waiting", text, tone: "fair" };
  }
  let [title, text] = CODES[code] ?? ["", "A code that the standard does not define; its meaning depends on the sender."];
  if (!title) title = code >= 4000 ? "private code" : code >= 3000 ? "registered code" : "unknown code";
  const failure = code === 1011 ? /^([A-Z_]+)(?:: (.*))?$/s.exec(reason) : null;
  if (ours && code !== 1006 && code !== 1011) {
    return { title: code === 1000 || code === 1005 ? "closed by you" : title, text: "You closed it, and the other side agreed.", tone: "good" };
  }
  if (failure) {
    const why = STATUSES[failure[1]] ?? "a status of its own";
    text = `The gRPC call ended with ${failure[1]}: ${why}.${failure[2] ? ` The server says: “${failure[2]}”.` : ""}`;
  } else if (code === 1011 && reason === "gRPC connection failed") {
    text = "The gateway is there, but the gRPC server behind it can't be reached.";
  } else if (code === 1006 && !opened) {
    title = "could not connect";
    text = "The WebSocket never opened.";
  } else if (code === 1006 && idle > LONG_IDLE) {
    text += ` Nothing had passed for ${duration(idle)}: this is what an idle timeout in between looks like.`;
  } else if (code === 1006) {
    text += " Something in between cut it, or the gateway died.";
  }
  return { title, text, tone: code === 1000 ? "good" : code === 1001 || code >= 3000 ? "fair" : "bad" };
}
