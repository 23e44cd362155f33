"""Every metric there is: its name, unit, kind and attributes, and what it tells. The README's table is made of this.

Those of gRPC are named by its proposals A66 and A96, those of HTTP, and the attributes of all, by OpenTelemetry's
semantic conventions. What nobody has named begins with ``echo.``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from echo.telemetry.snapshot import Combine, Distribution, Kind, Metric, Point

__all__ = ["INSTRUMENTS", "SECONDS", "SIZES", "Instrument"]

# A66's; those of HTTP are of OpenTelemetry.
SECONDS: Final = (
    *(0.0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01),
    *(0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
)
SIZES: Final = (0.0, *(float(2**power) for power in (10, 11, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32)))
HTTP_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
# WebSockets live from a moment to days.
SOCKET_SECONDS: Final = (0.1, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0)


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric.

    Attributes:
        name: OpenTelemetry's.
        unit: By UCUM.
        kind: What its values are.
        attributes: What they are told apart by.
        description: What it tells, in a sentence.
        boundaries: Of a histogram's buckets.
        combine: What several processes' gauges make.
    """

    name: str
    unit: str
    kind: Kind
    attributes: tuple[str, ...]
    description: str
    boundaries: tuple[float, ...] = ()
    combine: Combine = "sum"

    def metric(self, points: Iterable[Point] = (), distributions: Iterable[Distribution] = ()) -> Metric:
        """It, with its values."""
        return Metric(
            self.name,
            self.unit,
            self.description,
            self.kind,
            list(points),
            list(distributions),
            self.boundaries,
            self.combine,
        )

    def of(self, values: Iterable[tuple[Sequence[str], float]]) -> Metric:
        """It, with values under the values of its attributes."""
        return self.metric(Point(tuple(zip(self.attributes, key, strict=True)), value) for key, value in values)

    def alone(self, value: float) -> Metric:
        """It, with one value; for those without attributes."""
        return self.metric([Point((), value)])


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

RECEIVE, TRANSMIT = "receive", "transmit"

# The gRPC server

SERVER_STARTED: Final = Instrument(
    "grpc.server.call.started", "{call}", "counter", (METHOD,), "Calls started, including those that have not ended."
)
SERVER_DURATION: Final = Instrument(
    "grpc.server.call.duration",
    "s",
    "histogram",
    (METHOD, STATUS),
    "How long calls took, from their head until they were over.",
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
SERVER_ACTIVE: Final = Instrument(
    "echo.grpc.server.active_calls", "{call}", "gauge", (METHOD,), "Calls that are open now."
)
SERVER_MESSAGES: Final = Instrument(
    "echo.grpc.server.messages",
    "{message}",
    "counter",
    (METHOD, DIRECTION),
    "Messages taken by handlers (receive) and sent (transmit), those of open calls included.",
)
SERVER_IO: Final = Instrument(
    "echo.grpc.server.io", "By", "counter", (METHOD, DIRECTION), "Bytes of those messages, compressed, without framing."
)
SERVER_UNSENT: Final = Instrument(
    "echo.grpc.server.unsent", "By", "gauge", (), "Bytes of messages that wait for clients to take more."
)
SERVER_STALLS: Final = Instrument(
    "echo.grpc.server.stalls", "{stall}", "counter", (), "How often a call had to wait for its client to take more."
)
SERVER_STALLED: Final = Instrument(
    "echo.grpc.server.stalled", "s", "counter", (), "How long calls have waited for their clients to take more."
)
SERVER_CONNECTIONS: Final = Instrument(
    "echo.grpc.server.connections", "{connection}", "counter", (), "Connections begun."
)
SERVER_ACTIVE_CONNECTIONS: Final = Instrument(
    "echo.grpc.server.active_connections", "{connection}", "gauge", (), "Connections that are open now."
)
SERVER_DRAINED: Final = Instrument(
    "echo.grpc.server.drained_connections", "{connection}", "counter", (), "Connections drained: sent a GOAWAY."
)
SERVER_REFUSED: Final = Instrument(
    "echo.grpc.server.refused_connections",
    "{connection}",
    "counter",
    (REASON,),
    "Connections ended for what the client did: the code of HTTP/2, TLS handshake, timeout, or not HTTP/2.",
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
    "Attempts started, including those that have not ended; transparent_retry for calls made again.",
)
CLIENT_DURATION: Final = Instrument(
    "grpc.client.attempt.duration",
    "s",
    "histogram",
    (METHOD, TARGET, STATUS),
    "How long attempts took, with the choice of a connection.",
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
    "How long calls took, as their caller saw it.",
    SECONDS,
)
CLIENT_ACTIVE: Final = Instrument(
    "echo.grpc.client.active_calls", "{call}", "gauge", (METHOD, TARGET), "Calls that are open now."
)
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
    "echo.grpc.client.unsent", "By", "gauge", (), "Bytes of messages that wait for servers to take more."
)
CLIENT_STALLS: Final = Instrument(
    "echo.grpc.client.stalls", "{stall}", "counter", (), "How often a call had to wait for its server to take more."
)
CLIENT_STALLED: Final = Instrument(
    "echo.grpc.client.stalled", "s", "counter", (), "How long calls have waited for their servers to take more."
)
CLIENT_CONNECTIONS: Final = Instrument(
    "echo.grpc.client.connections", "{connection}", "counter", (), "Connections made."
)
CLIENT_ACTIVE_CONNECTIONS: Final = Instrument(
    "echo.grpc.client.active_connections", "{connection}", "gauge", (), "Connections that are open now."
)
CLIENT_DRAINED: Final = Instrument(
    "echo.grpc.client.drained_connections",
    "{connection}",
    "counter",
    (),
    "Connections on which a server wanted no new calls: it sent a GOAWAY.",
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
    "HTTP requests that are being served now.",
)
HTTP_CONNECTIONS: Final = Instrument(
    "echo.http.connections", "{connection}", "counter", (), "Connections begun, for HTTP and WebSockets."
)
HTTP_ACTIVE_CONNECTIONS: Final = Instrument(
    "echo.http.active_connections", "{connection}", "gauge", (), "Connections that are open now."
)
SOCKET_HANDSHAKES: Final = Instrument(
    "echo.websocket.handshakes",
    "{handshake}",
    "counter",
    (ROUTE, HTTP_STATUS),
    "WebSocket handshakes answered: 101 or 200 when opened, the status of the refusal otherwise.",
)
SOCKET_ACTIVE: Final = Instrument(
    "echo.websocket.active", "{socket}", "gauge", (ROUTE,), "WebSockets that are open now."
)
SOCKET_DURATION: Final = Instrument(
    "echo.websocket.duration",
    "s",
    "histogram",
    (ROUTE, "websocket.close_code"),
    "How long WebSockets were open, by close code; 3xxx and 4xxx for those of applications.",
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
    "echo.access_log.dropped_lines", "{line}", "counter", (), "Lines of the access log that nobody read in time."
)
PROCESS_CPU: Final = Instrument("process.cpu", "s", "counter", (), "CPU time used, user and system.")
PROCESS_RESIDENT: Final = Instrument("process.resident_memory", "By", "gauge", (), "Memory in RAM.")
PROCESS_VIRTUAL: Final = Instrument("process.virtual_memory", "By", "gauge", (), "Memory mapped.")
PROCESS_FDS: Final = Instrument("process.open_fds", "", "gauge", (), "File descriptors that are open.")
PROCESS_MAX_FDS: Final = Instrument("process.max_fds", "", "gauge", (), "Most file descriptors that may be open.")
PROCESS_START: Final = Instrument(
    "process.start_time", "s", "gauge", (), "When it started, in seconds since 1970.", combine="min"
)

INSTRUMENTS: Final = tuple(value for value in globals().copy().values() if isinstance(value, Instrument))
