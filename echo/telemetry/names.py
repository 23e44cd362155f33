"""All metrics: name, unit, kind, attributes, and what they measure. The table in the documentation is generated from
this.

gRPC's metrics are named by its proposals A66 and A96; those of HTTP, and all attributes, by OpenTelemetry's semantic
conventions. Names of our own begin with ``echo.``.
"""

from typing import Final

from echo.telemetry.instrument import HTTP_SECONDS, SECONDS, SIZES, SOCKET_SECONDS, Instrument

__all__ = ["INSTRUMENTS"]

METHOD: Final = "grpc.method"
STATUS: Final = "grpc.status"
TARGET: Final = "grpc.target"
DIRECTION: Final = "network.io.direction"
REASON: Final = "error.type"
ROUTE: Final = "http.route"
HTTP_METHOD: Final = "http.request.method"
HTTP_STATUS: Final = "http.response.status_code"
SCHEME: Final = "url.scheme"
HTTP_VERSION: Final = "network.protocol.version"
SETTING: Final = "echo.setting"

RECEIVE, TRANSMIT = "receive", "transmit"

# The gRPC server

SERVER_STARTED: Final = Instrument(
    "grpc.server.call.started", "{call}", "counter", (METHOD,), "Calls started, open ones included."
)
SERVER_DURATION: Final = Instrument(
    "grpc.server.call.duration",
    "s",
    "histogram",
    (METHOD, STATUS),
    "How long calls took, from the arrival of their head to their end.",
    SECONDS,
)
SERVER_SENT: Final = Instrument(
    "grpc.server.call.sent_total_compressed_message_size",
    "By",
    "histogram",
    (METHOD, STATUS),
    "Bytes of the messages sent per call, compressed, without framing.",
    SIZES,
)
SERVER_RECEIVED: Final = Instrument(
    "grpc.server.call.rcvd_total_compressed_message_size",
    "By",
    "histogram",
    (METHOD, STATUS),
    "Bytes of the messages received per call, compressed, without framing.",
    SIZES,
)
SERVER_ACTIVE: Final = Instrument("echo.grpc.server.active_calls", "{call}", "gauge", (METHOD,), "Open calls.")
SERVER_MESSAGES: Final = Instrument(
    "echo.grpc.server.messages",
    "{message}",
    "counter",
    (METHOD, DIRECTION),
    "Messages read by handlers (receive) and sent (transmit), those of open calls included.",
)
SERVER_IO: Final = Instrument(
    "echo.grpc.server.io", "By", "counter", (METHOD, DIRECTION), "Bytes of those messages, compressed, without framing."
)
SERVER_UNSENT: Final = Instrument(
    "echo.grpc.server.unsent", "By", "gauge", (), "Bytes of messages waiting for clients to read."
)
SERVER_STALLS: Final = Instrument(
    "echo.grpc.server.stalls", "{stall}", "counter", (), "How often a call had to wait for its client to read."
)
SERVER_STALLED: Final = Instrument(
    "echo.grpc.server.stalled", "s", "counter", (), "How long calls have waited for their clients to read."
)
SERVER_CONNECTIONS: Final = Instrument(
    "echo.grpc.server.connections", "{connection}", "counter", (), "Connections accepted."
)
SERVER_ACTIVE_CONNECTIONS: Final = Instrument(
    "echo.grpc.server.active_connections", "{connection}", "gauge", (), "Open connections."
)
SERVER_DRAINED: Final = Instrument(
    "echo.grpc.server.drained_connections",
    "{connection}",
    "counter",
    (),
    "Connections that were sent a GOAWAY to drain.",
)
SERVER_REFUSED: Final = Instrument(
    "echo.grpc.server.refused_connections",
    "{connection}",
    "counter",
    (REASON,),
    "Connections ended because of the client: by HTTP/2 error code, or TLS handshake, timeout, not HTTP/2.",
)
SERVER_REFUSED_CALLS: Final = Instrument(
    "echo.grpc.server.refused_calls",
    "{call}",
    "counter",
    (REASON,),
    "Calls refused by REFUSED_STREAM, which clients may retry: while draining, or beyond the limit per connection.",
)

# The gRPC client in the gateway

CLIENT_STARTED: Final = Instrument(
    "grpc.client.attempt.started",
    "{attempt}",
    "counter",
    (METHOD, TARGET, "grpc.attempt_type"),
    "Attempts started, open ones included; transparent_retry if no server had processed the one before.",
)
CLIENT_DURATION: Final = Instrument(
    "grpc.client.attempt.duration",
    "s",
    "histogram",
    (METHOD, TARGET, STATUS),
    "How long attempts took, the choice of a connection included.",
    SECONDS,
)
CLIENT_SENT: Final = Instrument(
    "grpc.client.attempt.sent_total_compressed_message_size",
    "By",
    "histogram",
    (METHOD, TARGET, STATUS),
    "Bytes of the messages sent per attempt, compressed, without framing.",
    SIZES,
)
CLIENT_RECEIVED: Final = Instrument(
    "grpc.client.attempt.rcvd_total_compressed_message_size",
    "By",
    "histogram",
    (METHOD, TARGET, STATUS),
    "Bytes of the messages received per attempt, compressed, without framing.",
    SIZES,
)
CLIENT_CALL: Final = Instrument(
    "grpc.client.call.duration",
    "s",
    "histogram",
    (METHOD, TARGET, STATUS),
    "How long calls took for their callers, retries included.",
    SECONDS,
)
CLIENT_ACTIVE: Final = Instrument("echo.grpc.client.active_calls", "{call}", "gauge", (METHOD, TARGET), "Open calls.")
CLIENT_MESSAGES: Final = Instrument(
    "echo.grpc.client.messages",
    "{message}",
    "counter",
    (METHOD, TARGET, DIRECTION),
    "Messages received and sent, those of open calls included.",
)
CLIENT_IO: Final = Instrument(
    "echo.grpc.client.io",
    "By",
    "counter",
    (METHOD, TARGET, DIRECTION),
    "Bytes of those messages, compressed, without framing.",
)
CLIENT_UNSENT: Final = Instrument(
    "echo.grpc.client.unsent", "By", "gauge", (), "Bytes of messages waiting for servers to read."
)
CLIENT_STALLS: Final = Instrument(
    "echo.grpc.client.stalls", "{stall}", "counter", (), "How often a call had to wait for its server to read."
)
CLIENT_STALLED: Final = Instrument(
    "echo.grpc.client.stalled", "s", "counter", (), "How long calls have waited for their servers to read."
)
CLIENT_CONNECTIONS: Final = Instrument(
    "echo.grpc.client.connections", "{connection}", "counter", (), "Connections made."
)
CLIENT_ACTIVE_CONNECTIONS: Final = Instrument(
    "echo.grpc.client.active_connections", "{connection}", "gauge", (), "Open connections."
)
CLIENT_DRAINED: Final = Instrument(
    "echo.grpc.client.drained_connections",
    "{connection}",
    "counter",
    (),
    "Connections on which a server sent a GOAWAY.",
)
CLIENT_FAILED: Final = Instrument(
    "echo.grpc.client.failed_connections", "{connection}", "counter", (), "Attempts to connect that failed."
)

# The gateway

HTTP_DURATION: Final = Instrument(
    "http.server.request.duration",
    "s",
    "histogram",
    (HTTP_METHOD, SCHEME, ROUTE, HTTP_STATUS, HTTP_VERSION, REASON),
    "How long HTTP requests took.",
    HTTP_SECONDS,
)
HTTP_ACTIVE: Final = Instrument(
    "http.server.active_requests",
    "{request}",
    "gauge",
    (HTTP_METHOD, SCHEME),
    "HTTP requests in progress.",
)
HTTP_CONNECTIONS: Final = Instrument(
    "echo.http.connections", "{connection}", "counter", (), "Connections accepted, for HTTP and WebSockets."
)
HTTP_ACTIVE_CONNECTIONS: Final = Instrument(
    "echo.http.active_connections", "{connection}", "gauge", (), "Open connections."
)
SOCKET_HANDSHAKES: Final = Instrument(
    "echo.websocket.handshakes",
    "{handshake}",
    "counter",
    (ROUTE, HTTP_STATUS),
    "WebSocket handshakes answered: 101 or 200 if accepted, or else the status of the refusal.",
)
SOCKET_ACTIVE: Final = Instrument("echo.websocket.active", "{socket}", "gauge", (ROUTE,), "Open WebSockets.")
SOCKET_DURATION: Final = Instrument(
    "echo.websocket.duration",
    "s",
    "histogram",
    (ROUTE, "websocket.close_code"),
    "How long WebSockets were open, by close code; 3xxx and 4xxx for the codes of applications.",
    SOCKET_SECONDS,
)
SOCKET_MESSAGES: Final = Instrument(
    "echo.websocket.messages",
    "{message}",
    "counter",
    (ROUTE, DIRECTION),
    "Messages received and sent, those of open WebSockets included.",
)
SOCKET_IO: Final = Instrument(
    "echo.websocket.io", "By", "counter", (ROUTE, DIRECTION), "Bytes of those messages, without framing."
)

# The process

LOG_DROPPED: Final = Instrument(
    "echo.access_log.dropped_lines",
    "{line}",
    "counter",
    (),
    "Lines of the access log dropped because nobody read them.",
)
CERTIFICATE_EXPIRY: Final = Instrument(
    "echo.tls.certificate.expiry",
    "s",
    "gauge",
    (SETTING,),
    "When the certificate in use expires, in seconds since 1970, by the variable that names its file.",
    combine="min",
)
PROCESS_CPU: Final = Instrument("process.cpu", "s", "counter", (), "CPU time used, user and system.")
PROCESS_RESIDENT: Final = Instrument("process.resident_memory", "By", "gauge", (), "Resident memory.")
PROCESS_VIRTUAL: Final = Instrument("process.virtual_memory", "By", "gauge", (), "Virtual memory.")
PROCESS_FDS: Final = Instrument("process.open_fds", "", "gauge", (), "Open file descriptors.")
PROCESS_MAX_FDS: Final = Instrument("process.max_fds", "", "gauge", (), "The limit of open file descriptors.")
PROCESS_START: Final = Instrument(
    "process.start_time", "s", "gauge", (), "When the process started, in seconds since 1970.", combine="min"
)

INSTRUMENTS: Final = tuple(value for value in globals().copy().values() if isinstance(value, Instrument))
