"""Who records requests and WebSockets as traces, if anybody does, and where in a request the context of a trace stands.

A browser can set no headers on a WebSocket. So a WebSocket's URL may hold ``traceparent`` and ``tracestate`` (W3C Trace
Context) as query parameters, which count where the handshake has no ``traceparent`` header.
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
    "template",
    "trace_of",
    "traced",
    "untraced",
]

TRACE: Final = "echo.trace"  # Where a scope has its trace, among its extensions.
_IN_QUERY: Final = frozenset({"traceparent", "tracestate"})
_TEXT: Final = re.compile(r"[ -~]{1,512}", re.ASCII)
_PLACE: Final = re.compile(r"<(?:[^<>:]*:)?([^<>:]+)>")


class RequestTrace(Protocol):
    """The trace of one request or WebSocket. Its methods never wait, and raise nothing.

    Attributes:
        route: The route's template, as ``/grpc/{key}``; empty as long as none is found.
    """

    route: str

    @property
    def ids(self) -> tuple[str, str | None]:
        """The trace's id and the span's, in hexadecimal, as a log shows them; None for a span that is not recorded."""

    def happened(self, event: str, cause: str = "") -> None:
        """Something happened to it."""

    def responded(self, status: int | None, reason: str | None) -> None:
        """The request is over.

        Args:
            status: The HTTP status; None if there was no response.
            reason: Why it was cut short, in words; None if it was not.
        """

    def closed(self, status: int | None, reason: str, *, upgraded: bool, received: int, sent: int) -> None:
        """The WebSocket is over.

        Args:
            status: The close code, or the HTTP status of a handshake that was refused.
            reason: In words.
            upgraded: The handshake was not refused.
            received: Messages received,
            sent: and sent.
        """


class GatewayTracing(Protocol):
    """Traces the requests of a gateway.

    Attributes:
        calls: Traces the calls it makes for them.
    """

    calls: ChannelTracing

    def begin(self, scope: HTTPScope | WebsocketScope, headers: Headers) -> RequestTrace | None:
        """The trace of a request, begun in the task that serves it; None for one that is not traced.

        Never waits, and raises nothing.

        Args:
            scope: The request.
            headers: Its headers; a WebSocket's with what its URL says of a trace.
        """

    def draining(self) -> None:
        """The gateway is going down, and what it works on goes on for now."""


OpenTracing: TypeAlias = Callable[[], AbstractAsyncContextManager[GatewayTracing | None]]
"""What traces a gateway while the block runs; None if nothing does."""


def untraced() -> AbstractAsyncContextManager[None]:
    """Nothing traces."""
    return nullcontext()


def traced(tracing: GatewayTracing | None) -> OpenTracing:
    """What is open already traces."""
    return partial(nullcontext, tracing)


def headers_of(scope: HTTPScope | WebsocketScope) -> Headers:
    """The headers of a request; a WebSocket's with what its URL says of a trace, if its headers say nothing."""
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
    """Have whoever sees the request find its trace."""
    cast("dict[str, object]", scope["extensions"])[TRACE] = trace


def trace_of(scope: HTTPScope | WebsocketScope) -> RequestTrace | None:
    """The trace of a request; None if it has none."""
    return cast("RequestTrace | None", scope["extensions"].get(TRACE))


def ids_of(scope: HTTPScope | WebsocketScope) -> tuple[str | None, str | None]:
    """The ids of trace and span for the access log; without a trace of ours, that of the client's."""
    trace = trace_of(scope)
    if trace is not None:
        return trace.ids
    for name, value in headers_of(scope):
        if name == b"traceparent":
            return trace_id(value.decode("latin-1").strip()), None
    return None, None


def template(rule: str) -> str:
    """A route's template as OpenTelemetry has it, ``/grpc/{key}``, of Werkzeug's ``/grpc/<anything:key>``."""
    return _PLACE.sub(r"{\1}", rule)
