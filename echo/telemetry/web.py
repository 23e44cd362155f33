"""Metrics of the gateway's clients: HTTP requests, by OpenTelemetry's conventions, and WebSockets.

Everything that a client can choose is bounded: unknown methods, routes, versions and close codes each count as one, and
a metric has at most `MOST` sets of attributes.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from echo.close_codes import STANDARD
from echo.telemetry import names
from echo.telemetry.calls import Counts, Traffic, directed
from echo.telemetry.instrument import HTTP_SECONDS, SOCKET_SECONDS
from echo.telemetry.series import Histogram, Table, histograms
from echo.telemetry.snapshot import Metric

__all__ = ["SocketCounts", "WebMeter", "close_code"]

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
OTHER: Final = "_OTHER"
SCHEMES: Final = frozenset({"http", "https"})
VERSIONS: Final = {"1.0": "1.0", "1.1": "1.1", "2": "2", "3": "3"}
INCOMPLETE: Final = "incomplete"


class SocketCounts(Counts, Protocol):
    """What is known about a WebSocket.

    Attributes:
        accepted: The upgrade was made.
        route: Its route; empty if no route has its path.
        status: The close code, or the HTTP status of a refused handshake; None while it is open.
        messages_in: Messages received.
        messages_out: Messages sent.
        bytes_in: Bytes of the messages received.
        bytes_out: Bytes of the messages sent.
    """

    accepted: bool
    route: str
    status: int | None

    @property
    def http_version(self) -> str:
        """The HTTP version of the handshake."""

    @property
    def seconds(self) -> float:
        """Seconds since the handshake began."""


class WebMeter:
    """Counts the requests and WebSockets of a gateway.

    Args:
        connections: Returns how many connections were started, and how many of them have ended.
    """

    def __init__(self, connections: Callable[[], tuple[int, int]]) -> None:
        self._connections = connections
        self._requests: Table[tuple[str, ...], Histogram] = Table(lambda: Histogram(HTTP_SECONDS))
        self._active: Counter[tuple[str, str]] = Counter()
        self._handshakes: Counter[tuple[str, str]] = Counter()
        self._durations: Table[tuple[str, ...], Histogram] = Table(lambda: Histogram(SOCKET_SECONDS))
        self._traffic: dict[str, Traffic] = {}
        self._sockets: set[SocketCounts] = set()

    # Requests

    def request_began(self, method: str, scheme: str) -> None:
        """A request has arrived."""
        self._active[_method(method), _scheme(scheme)] += 1

    def request_ended(
        self,
        method: str,
        scheme: str,
        version: str,
        route: str,
        status: int | None,
        seconds: float,
        *,
        complete: bool,
    ) -> None:
        """A request has ended.

        Args:
            method: The method as received.
            scheme: ``http`` or ``https``.
            version: The HTTP version.
            route: The route's template; empty if no route has its path.
            status: The HTTP status; None if there was no response.
            seconds: How long it took.
            complete: Whether the whole response was sent.
        """
        method, scheme = _method(method), _scheme(scheme)
        self._active[method, scheme] -= 1
        fault = str(status) if status is not None and status >= 500 else ""
        if status is None or not complete:
            fault = INCOMPLETE
        key = (method, scheme, route, str(status or ""), VERSIONS.get(version, OTHER), fault)
        self._requests[key].record(seconds)

    # WebSockets

    def socket_began(self, socket: SocketCounts) -> None:
        """A handshake has arrived; the WebSocket's counts are included from now on."""
        self._sockets.add(socket)

    def socket_ended(self, socket: SocketCounts) -> None:
        """The WebSocket has ended, or its handshake was refused."""
        self._sockets.discard(socket)
        if socket.accepted:
            self._handshakes[socket.route, _opened(socket)] += 1
            self._durations[socket.route, close_code(socket.status)].record(socket.seconds)
            self._traffic.setdefault(socket.route, Traffic()).include(socket)
        elif socket.status is not None:
            self._handshakes[socket.route, str(socket.status)] += 1

    # Results

    def metrics(self) -> Iterable[Metric]:
        """Everything counted so far."""
        yield histograms(names.HTTP_DURATION, self._requests.items(names.HTTP_DURATION.under))
        yield names.HTTP_ACTIVE.of(self._active.items())
        begun, ended = self._connections()
        yield names.HTTP_CONNECTIONS.alone(begun)
        yield names.HTTP_ACTIVE_CONNECTIONS.alone(begun - ended)
        active: Counter[str] = Counter(dict.fromkeys(self._traffic, 0))
        handshakes = self._handshakes.copy()
        traffic: dict[str, Traffic] = {}
        for route, past in self._traffic.items():
            traffic[route] = Traffic()
            traffic[route].include(past)
        for socket in self._sockets:
            if socket.accepted:
                active[socket.route] += 1
                handshakes[socket.route, _opened(socket)] += 1
                traffic.setdefault(socket.route, Traffic()).include(socket)
        yield names.SOCKET_HANDSHAKES.of(handshakes.items())
        yield names.SOCKET_ACTIVE.of(((route,), count) for route, count in active.items())
        yield histograms(names.SOCKET_DURATION, self._durations.items(names.SOCKET_DURATION.under))
        yield from directed(names.SOCKET_MESSAGES, names.SOCKET_IO, [((route,), one) for route, one in traffic.items()])


def close_code(code: int | None) -> str:
    """A close code as an attribute; applications' codes count as one for each of their two ranges."""
    if code in STANDARD:
        return str(code)
    if code is not None and 3000 <= code < 5000:
        return f"{code // 1000}xxx"
    return OTHER


def _opened(socket: SocketCounts) -> str:
    return "101" if socket.http_version.startswith("1") else "200"  # RFC 6455 §4.2.2, RFC 8441 §5.


def _method(method: str) -> str:
    return method if method in METHODS else OTHER


def _scheme(scheme: str) -> str:
    return scheme if scheme in SCHEMES else OTHER
