// What only a browser says of a path, as it sees less of it than the command line's probe. Everything else that checks
// say stands in echo/probe/checks, word for word.

// Of checks that cannot be done here.
const PROBE = "`echo-grpc probe` can.";
export const NO_FRAMES = `A page does not see the frames of HTTP/2; ${PROBE}`;
export const NO_CONNECTIONS = `A page has no say in how its requests use connections; ${PROBE}`;
export const NO_PAUSE = `A page cannot stop reading a WebSocket; ${PROBE}`;
export const NO_SIZES = `A browser has limits of its own for headers; ${PROBE}`;
export const NO_COMPRESSION = `A browser does not compress what it sends; ${PROBE}`;
export const NO_DRAIN = `A page cannot tell which calls share the connection that drains; ${PROBE}`;
export const CLEARTEXT = `A browser speaks HTTP/2 over TLS only, and this page came without; ${PROBE}`;
export const UNKNOWN_HTTP2 = `A page cannot see what its WebSockets go by on this path; ${PROBE}`;

// What the command line calls `--direct` is an option of it.
export const DIRECT = "`echo-grpc probe --direct`";

// Of a WebSocket that did not open.
export const ACCEPTED = "the gateway has accepted it, but its answer did not arrive as it was sent";
export const NEVER_ARRIVED = "no whole request for one has reached the gateway";

// Of WebSockets that were cut, or whose messages were changed.
export const uncompressed = (how, wrong) =>
  `WebSocket messages do not arrive intact ${how}: ${wrong}; whether they do without it, \`echo-grpc probe\` can tell.`;
export const withMessages = (pause) => `; with a message ${pause} it lives`;
export const SOCKETS_ARE_CUT = "WebSockets that are silent are cut themselves (ws-idle), so nothing can be said of their calls.";

// Of responses that come when they are sent on a WebSocket.
export const BY_GRPC_WEB = "So it is for calls by gRPC-Web and Connect; on a WebSocket each comes when it is sent.";

// Of metadata, whose repeated values a browser joins before it sends them, and before it shows them.
export const METADATA = "Metadata passes unchanged both ways, whatever its name, and binary values, too.";
