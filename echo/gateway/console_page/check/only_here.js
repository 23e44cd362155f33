// Sentences that only the page uses, because a browser sees less of a path than the command line's probe. All other
// sentences of checks are those of echo/probe/checks, word for word.

// Of checks that a page cannot do.
const PROBE = "`echo-grpc probe` can.";
export const NO_FRAMES = `A page does not see the frames of HTTP/2; ${PROBE}`;
export const NO_CONNECTIONS = `A page cannot choose the connections that its requests use; ${PROBE}`;
export const NO_PAUSE = `A page cannot stop reading a WebSocket; ${PROBE}`;
export const NO_SIZES = `A browser has its own limits for headers; ${PROBE}`;
export const NO_COMPRESSION = `A browser does not compress what it sends; ${PROBE}`;
export const NO_DRAIN = `A page cannot tell which calls share the connection that drains; ${PROBE}`;
export const CLEARTEXT = `A browser speaks HTTP/2 only over TLS, and this page was loaded without TLS; ${PROBE}`;
export const UNKNOWN_HTTP2 = `A page cannot see which protocol its WebSockets use on this path; ${PROBE}`;

// Of checks that had no time: a page cannot run one by itself.
export const OUT_OF_TIME = "There was no time left for it; `echo-grpc probe` can run it by itself (--only).";

// `--direct` is an option of the command line.
export const DIRECT = "`echo-grpc probe --direct`";

// Of a WebSocket that did not open.
export const ACCEPTED = "the gateway has accepted it, but its answer did not arrive as it was sent";
export const NEVER_ARRIVED = "no complete request for one has reached the gateway";

// Of WebSockets that were cut, or whose messages were changed.
export const uncompressed = (how, wrong) =>
  `WebSocket messages do not arrive intact ${how}: ${wrong}; \`echo-grpc probe\` can tell whether they do without it.`;
export const withMessages = (pause) => `; with a message ${pause} it survives`;
export const SOCKETS_ARE_CUT = "Silent WebSockets are cut themselves (ws-idle), so their calls could not be checked.";

// Of responses that arrive at once on a WebSocket.
export const BY_GRPC_WEB = "This applies to gRPC-Web and Connect; on a WebSocket, each response arrives when it is sent.";

// Of metadata, whose repeated values a browser joins before it sends them, and before it shows them.
export const METADATA = "Metadata passes unchanged both ways, whatever its name, and so do binary values.";
