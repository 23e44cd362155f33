// The table of all checks, with the names and questions of the command line's report, in its order. A check that a page
// cannot do has a sentence that says why; the others say how and when they run. Does not touch the page.

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

// When a check runs. Those that wait begin at once; most may have company; those that fill the connection run alone; last
// are those that may make a hop consider the server unhealthy.
export const WAITING = "waiting";
export const BESIDE = "beside";
export const ALONE = "alone";
export const LAST = "last";

const SOCKET = ["ws-upgrade"];

/** A check that a page can do. `needs` are the checks it depends on; `patience` is in seconds. */
const can = (name, question, { run }, { company = BESIDE, needs = [], patience = 12 } = {}) => ({
  ...{ name, question, run, company, needs, patience },
});

/** A check that a page cannot do. */
const cannot = (name, question, why) => ({ name, question, why });

export const CHECKS = [
  cannot("http2", "Does the path speak HTTP/2, to us and to the server?", only.NO_FRAMES),
  can("trailers", "Does the end of a call arrive, with its status and metadata?", trailers),
  can("status", "Do all 17 status codes arrive, with their messages and details?", status, { needs: ["trailers"] }),
  can("metadata", "Does metadata pass unchanged, both ways?", metadata, { needs: ["trailers"] }),
  cannot("header-size", "How large can metadata be?", only.NO_SIZES),
  can("message-size", "How large can a message be, in each direction?", messageSize, { company: ALONE }),
  can("stream-size", "How many bytes can a stream carry in total, in each direction?", streamSize, { company: ALONE, needs: SOCKET, patience: 16 }),
  can("request-streaming", "Does the server see each message when it is sent?", requestStreaming, { needs: SOCKET }),
  can("response-streaming", "Do we see each response when it is sent?", responseStreaming, { needs: SOCKET }),
  can("bidirectional", "Do responses arrive while we are still sending?", bidirectional, { needs: SOCKET }),
  can("half-close", "Does the server see that we have sent everything, and do responses continue after that?", halfClose, { needs: SOCKET }),
  can("early-end", "Does the reply arrive if the server ends a call while we are still sending?", earlyEnd, { needs: SOCKET }),
  can("cancel", "Does the server notice when we cancel a call?", cancel),
  cannot("reset", "Does the reason arrive when the server resets a call?", only.NO_FRAMES),
  can("deadline", "Does the server learn the deadline of a call?", deadline),
  can("stream-idle", "How long does a silent stream stay open?", streamIdle, { company: WAITING, needs: SOCKET }),
  can("stream-duration", "How long does a busy stream stay open?", streamDuration, { company: WAITING, needs: SOCKET }),
  cannot("connection-idle", "How long does an idle connection stay open?", only.NO_CONNECTIONS),
  cannot("keepalive", "Who answers our pings, and how often may we ping?", only.NO_FRAMES),
  cannot("concurrency", "How many calls can run at once on one connection?", only.NO_CONNECTIONS),
  can("balancing", "Which servers answer the calls on one connection, and on many?", balancing),
  can("retries", "Does the path retry failed calls?", retries, { company: LAST }),
  cannot("backpressure", "Does a paused reader slow the sender down, in each direction?", only.NO_PAUSE),
  cannot("compression", "Do compressed messages arrive as they were sent?", only.NO_COMPRESSION),
  cannot("drain", "Does a server that is about to stop finish its calls?", only.NO_DRAIN),
  can("ws-upgrade", "Does a WebSocket open?", wsUpgrade),
  can("ws-http2", "Does a WebSocket open over HTTP/2?", wsHttp2),
  can("ws-messages", "Do WebSocket messages pass unchanged, and how large can they be?", wsMessages, { company: ALONE, needs: SOCKET }),
  can("ws-close", "Do WebSocket close codes and reasons arrive, both ways?", wsClose, { needs: SOCKET }),
  can("ws-idle", "How long does a silent WebSocket stay open, with pings and without?", wsIdle, { company: WAITING, needs: SOCKET }),
  can("ws-cancel", "Does the server notice when we leave a WebSocket?", wsCancel, { needs: SOCKET }),
  can("ws-compression", "Do compressed WebSocket messages arrive intact?", wsCompression, { needs: SOCKET }),
  can("http-status", "Do the gateway's errors arrive as it sent them?", httpStatus),
];
