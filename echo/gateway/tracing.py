"""The interface for recording requests and WebSockets as traces, and where a request carries its trace context.

A browser cannot set headers on a WebSocket. So its URL may contain ``traceparent`` and ``tracestate`` (W3C Trace
Context) as query parameters, which apply if the handshake has no ``traceparent`` header.
"""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Final, Protocol, TypeAlias, cast
from urllib.parse import parse_qsl

from hypercorn.typing import HTTPScope, WebsocketScope

from echo.access_log import trace_id
from echo.gateway.metadata import Headers
from echo.rpc.tracing import ChannelTracing

__all__ = [
    "GatewayTracing",
    "OpenTracing",
    "RequestTrace",
    "headers_of",
    "ids_of",
    "keep_trace",
    "trace_of",
    "traced",
    "untraced",
]

TRACE: Final = "echo.trace"  # The key of the trace in a scope's extensions.
_IN_QUERY: Final = frozenset({"traceparent", "tracestate"})
_TEXT: Final = re.compile(r"[ -~]{1,512}", re.ASCII)


class RequestTrace(Protocol):
    """The trace of one request or WebSocket. Its methods never wait and raise nothing.

    Attributes:
        route: The route's template, such as ``/grpc/{key}``; empty until the route is known.
    """

    route: str

    @property
    def ids(self) -> tuple[str, str | None]:
        """The trace id and the span id in hexadecimal, as in a log; the latter is None if the span is not recorded."""

    def happened(self, event: str, cause: str = "") -> None:
        """Record an event."""

    def responded(self, status: int | None, reason: str | None) -> None:
        """The request has ended.

        Args:
            status: The HTTP status; None if there was no response.
            reason: Why the response is incomplete, in words; None if it is complete.
        """

    def closed(self, status: int | None, reason: str, *, upgraded: bool, received: int, sent: int) -> None:
        """The WebSocket has ended.

        Args:
            status: The close code, or the HTTP status of a refused handshake.
            reason: A readable reason for the status.
            upgraded: Whether the handshake was accepted.
            received: Messages received.
            sent: Messages sent.
        """


class GatewayTracing(Protocol):
    """Traces the requests of a gateway.

    Attributes:
        calls: Traces the calls it makes for them.
    """

    calls: ChannelTracing

    def begin(self, scope: HTTPScope | WebsocketScope, headers: Headers) -> RequestTrace | None:
        """The trace of a request, begun in the task that serves it; None if the request is not traced.

        Never waits and raises nothing.

        Args:
            scope: The request.
            headers: Its headers, as from `headers_of`.
        """

    def draining(self) -> None:
        """The gateway is draining; its current work continues for now."""


OpenTracing: TypeAlias = Callable[[], AbstractAsyncContextManager[GatewayTracing | None]]
"""Opens the tracing of a gateway for the duration of a block; gives None for no traces."""


def untraced() -> AbstractAsyncContextManager[None]:
    """An `OpenTracing` without traces."""
    return nullcontext()


def traced(tracing: GatewayTracing | None) -> OpenTracing:
    """An `OpenTracing` for tracing that is open already."""
    return partial(nullcontext, tracing)


def headers_of(scope: HTTPScope | WebsocketScope) -> Headers:
    """The headers of a request; for a WebSocket without ``traceparent``, with the trace context from its URL."""
    headers = scope["headers"]
    if scope["type"] != "websocket" or b"trace" not in scope["query_string"]:
        return headers
    headers = list(headers)
    if all(name != b"traceparent" for name, _ in headers):
        asked = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=None))
        if trace_id(asked.get("traceparent")) is not None:
            found = ((name, asked[name]) for name in sorted(_IN_QUERY & asked.keys()))
            headers += [(name.encode(), text.encode()) for name, text in found if _TEXT.fullmatch(text)]
    return headers


def keep_trace(scope: HTTPScope | WebsocketScope, trace: RequestTrace) -> None:
    """Store the trace in the scope."""
    cast("dict[str, object]", scope["extensions"])[TRACE] = trace


def trace_of(scope: HTTPScope | WebsocketScope) -> RequestTrace | None:
    """The trace of a request; None if it has none."""
    return cast("RequestTrace | None", scope["extensions"].get(TRACE))


def ids_of(scope: HTTPScope | WebsocketScope) -> tuple[str | None, str | None]:
    """The trace id and the span id for the access log; without a trace of ours, the client's trace id."""
    trace = trace_of(scope)
    if trace is not None:
        return trace.ids
    for name, value in headers_of(scope):
        if name == b"traceparent":
            return trace_id(value.decode("latin-1").strip()), None
    return None, None
