"""The spans of a gateway's requests and WebSockets, following OpenTelemetry's semantic conventions for HTTP.

A WebSocket's span lasts from its handshake to its close. Attributes without a convention begin with ``echo.``.
"""

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Final

import anyio
from hypercorn.typing import HTTPScope, WebsocketScope
from multidict import MultiDict
from opentelemetry.trace import SpanKind

from echo.close_codes import INTERNAL_ERROR
from echo.printable import printable
from echo.rpc.tracing import ChannelTracing
from echo.targets import split
from echo.telemetry.tracing.methods import MAX_TEXT
from echo.telemetry.tracing.protobuf import SERVER, attribute, count, failure, name_and_kind
from echo.telemetry.tracing.recorder import Recorder
from echo.telemetry.tracing.span import Span

__all__ = ["Requests"]

UNTRACED: Final = frozenset({"/healthz", "/readyz"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


class Request(Span):
    """The span of a request or of a WebSocket."""

    __slots__ = ("_open", "_scope", "route")

    def __init__(self, scope: HTTPScope | WebsocketScope, open_ones: "set[Request]") -> None:
        self.route = ""
        self._scope = scope
        self._open = open_ones

    def responded(self, status: int | None, reason: str | None) -> None:
        """The request is over."""
        if not self.recorded:
            return
        pieces = [] if status is None else [count("http.response.status_code", status)]
        failed = status is None or status >= 500
        if failed or reason is not None:
            kind = str(status) if status is not None and status >= 500 else "incomplete"
            pieces += [attribute("error.type", kind), failure(reason)]
        self._over(pieces)

    def closed(self, status: int | None, reason: str, *, upgraded: bool, received: int, sent: int) -> None:
        """The WebSocket is over."""
        if not self.recorded:
            return
        if upgraded:
            answered = 101 if self._scope["http_version"].startswith("1") else 200
            pieces = [
                count("http.response.status_code", answered),
                count("echo.messages.received", received),
                count("echo.messages.sent", sent),
                count("echo.websocket.close_code", 0 if status is None else status),
            ]
            if reason:
                pieces.append(attribute("echo.websocket.close_reason", printable(reason, MAX_TEXT)))
        else:
            pieces = [] if status is None else [count("http.response.status_code", status)]
        failed = status is None or (status == INTERNAL_ERROR if upgraded else status >= 500)
        if failed:
            pieces += [attribute("error.type", str(status)), failure(printable(reason, MAX_TEXT))]
        self._over(pieces)

    def _over(self, pieces: list[bytes]) -> None:
        self._open.discard(self)
        self.finish(b"".join([*self._told(), *pieces]))

    def _told(self) -> Iterable[bytes]:
        scope = self._scope
        method = "GET" if scope["type"] == "websocket" else scope["method"]
        known = method if method in METHODS else "_OTHER"
        client = scope["client"]
        yield _fixed(known, self.route, scope["scheme"], scope["http_version"])
        yield attribute("url.path", printable(scope["raw_path"].decode("latin-1"), MAX_TEXT))
        if known != method:
            yield attribute("http.request.method_original", printable(method, MAX_TEXT))
        if client is not None:
            yield attribute("client.address", client[0])
        yield from self._said(scope["headers"])

    def _said(self, headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
        for name, value in headers:
            if name == b"host":
                host, port = value.decode("latin-1"), None
                with suppress(ValueError):
                    host, port = split(host)
                yield attribute("server.address", printable(host, MAX_TEXT))
                if port is not None:
                    yield attribute("server.port", port)
            elif name == b"user-agent":
                yield attribute("user_agent.original", printable(value.decode("latin-1"), MAX_TEXT))


class Requests:
    """Traces a gateway's requests; an instance is what `serve_gateway` wants as ``tracing``.

    Attributes:
        calls: Traces the calls that the gateway makes for them.
    """

    def __init__(self, recorder: Recorder, calls: ChannelTracing) -> None:
        self.calls = calls
        self._recorder = recorder
        self._open: set[Request] = set()

    def begin(self, scope: HTTPScope | WebsocketScope, headers: Iterable[tuple[bytes, bytes]]) -> Request | None:
        """Begin the trace of a request, which is current in this task from now on."""
        if scope["path"] in UNTRACED:
            return None
        recorder = self._recorder
        parent = recorder.propagation.read(
            MultiDict(
                (name.decode("latin-1"), value.decode("latin-1").strip())
                for name, value in headers
                if name.startswith(_CARRIERS)
            )
        )
        trace = Request(scope, self._open)
        called = "WebSocket" if scope["type"] == "websocket" else scope["method"]
        recorder.begin(trace, parent, called, SpanKind.SERVER, anyio.current_time())
        if trace.recorded:
            self._open.add(trace)
        trace.enter()
        return trace

    def draining(self) -> None:
        """Record the drain in the spans of all open requests."""
        for trace in self._open:
            trace.happened("drain")


_CARRIERS: Final = (b"traceparent", b"tracestate", b"b3", b"x-b3-")


@lru_cache(1024)
def _fixed(method: str, route: str, scheme: str, version: str) -> bytes:
    verb = "HTTP" if method == "_OTHER" else method
    return b"".join(
        (
            name_and_kind(f"{verb} {route}" if route else verb, SERVER),
            attribute("http.request.method", method),
            attribute("http.route", route) if route else b"",
            attribute("url.scheme", scheme),
            attribute("network.protocol.version", version),
        )
    )
