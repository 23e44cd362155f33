// The table of all checks, in the order of the command line's report: its names and its questions. What a page cannot do
// has a sentence that says why; the others have how they run, and when. No page.

import * as balancing from "./checks/balancing.js";
import * as bidirectional from "./checks/bidirectional.js";
import * as cancel from "./checks/cancel.js";
import * as deadline from "./checks/deadline.js";
import * as earlyEnd from "./checks/early-end.js";
import * as halfClose from "./checks/half-close.js";
import * as httpStatus from "./checks/http-status.js";
import * as messageSize from "./checks/message-size.js";
import * as metadata from "./checks/metadata.js";
import * as requestStreaming from "./checks/request-streaming.js";
import * as responseStreaming from "./checks/response-streaming.js";
import * as retries from "./checks/retries.js";
import * as status from "./checks/status.js";
import * as streamDuration from "./checks/stream-duration.js";
import * as streamIdle from "./checks/stream-idle.js";
import * as streamSize from "./checks/stream-size.js";
import * as trailers from "./checks/trailers.js";
import * as wsCancel from "./checks/ws-cancel.js";
import * as wsClose from "./checks/ws-close.js";
import * as wsCompression from "./checks/ws-compression.js";
import * as wsHttp2 from "./checks/ws-http2.js";
import * as wsIdle from "./checks/ws-idle.js";
import * as wsMessages from "./checks/ws-messages.js";
import * as wsUpgrade from "./checks/ws-upgrade.js";
import * as only from "./only_here.js";

// When a check runs. Those that wait begin at once; most may have company; some fill the line, and are alone; at the very
// end those after which hops may think the server ill.
export const WAITING = "waiting";
export const BESIDE = "beside";
export const ALONE = "alone";
export const LAST = "last";

const SOCKET = ["ws-upgrade"];

/** One that a page can do. `needs` are the checks without which there is no point in asking; `patience` is in seconds. */
const can = (name, question, { run }, { company = BESIDE, needs = [], patience = 12 } = {}) => ({
  ...{ name, question, run, company, needs, patience },
});

/** One that it cannot. */
const cannot = (name, question, why) => ({ name, question, why });

export const CHECKS = [
  cannot("http2", "Is HTTP/2 spoken to us, and to the server?", only.NO_FRAMES),
  can("trailers", "Does the end of a call arrive, with all that is in it?", trailers),
  can("status", "Do all 17 status codes arrive, with their messages and details?", status, { needs: ["trailers"] }),
  can("metadata", "Does metadata pass unchanged, both ways?", metadata, { needs: ["trailers"] }),
  cannot("header-size", "How large may metadata be?", only.NO_SIZES),
  can("message-size", "How large may a message be, each way?", messageSize, { company: ALONE }),
  can("stream-size", "How many bytes may a stream carry in all, each way?", streamSize, { company: ALONE, needs: SOCKET, patience: 16 }),
  can("request-streaming", "Does the server see each message when it is sent?", requestStreaming, { needs: SOCKET }),
  can("response-streaming", "Do we see each response when it is sent?", responseStreaming, { needs: SOCKET }),
  can("bidirectional", "Do responses come while we still send?", bidirectional, { needs: SOCKET }),
  can("half-close", "Does the server see that we have sent everything, and do responses go on after it?", halfClose, { needs: SOCKET }),
  can("early-end", "Does the answer of a server that ends while we still send arrive?", earlyEnd, { needs: SOCKET }),
  can("cancel", "Does the server hear of it when we cancel a call?", cancel),
  cannot("reset", "Does the reason why the server broke off a call arrive?", only.NO_FRAMES),
  can("deadline", "Does the server hear how long a call may take?", deadline),
  can("stream-idle", "How long does a silent stream live?", streamIdle, { company: WAITING, needs: SOCKET }),
  can("stream-duration", "How long does a busy stream live?", streamDuration, { company: WAITING, needs: SOCKET }),
  cannot("connection-idle", "How long does an idle connection live?", only.NO_CONNECTIONS),
  cannot("keepalive", "Who answers our pings, and how often may we ping?", only.NO_FRAMES),
  cannot("concurrency", "How many calls may run at once on one connection?", only.NO_CONNECTIONS),
  can("balancing", "Which servers answer the calls of one connection, and of many?", balancing),
  can("retries", "Does the path repeat calls that failed?", retries, { company: LAST }),
  cannot("backpressure", "Does a reader that pauses slow the sender down, each way?", only.NO_PAUSE),
  cannot("compression", "Do compressed messages arrive as they were sent?", only.NO_COMPRESSION),
  cannot("drain", "Does a server that is about to stop finish its calls?", only.NO_DRAIN),
  can("ws-upgrade", "Does a WebSocket open?", wsUpgrade),
  can("ws-http2", "Does a WebSocket open over HTTP/2?", wsHttp2),
  can("ws-messages", "Do WebSocket messages pass unchanged, and how large may they be?", wsMessages, { company: ALONE, needs: SOCKET }),
  can("ws-close", "Do WebSocket close codes and reasons arrive, both ways?", wsClose, { needs: SOCKET }),
  can("ws-idle", "How long does a silent WebSocket live, with pings and without?", wsIdle, { company: WAITING, needs: SOCKET }),
  can("ws-cancel", "Does the server hear of it when we leave a WebSocket?", wsCancel, { needs: SOCKET }),
  can("ws-compression", "Do compressed WebSocket messages arrive intact?", wsCompression, { needs: SOCKET }),
  can("http-status", "Do the gateway's errors arrive as it sent them?", httpStatus),
];
