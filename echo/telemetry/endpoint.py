"""``GET /metrics``: a very small HTTP/1.1 server for Prometheus, on a port of its own.

It answers one request per connection and closes it, so that a stalled scraper holds nothing for long. Everything is
bounded: the number of connections, the size of a request, and the time for all of it.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio
import h11
from anyio.abc import ByteStream, SocketAttribute, TaskStatus

from echo.rpc import open_tcp_listener
from echo.telemetry.prometheus import content_type, render
from echo.telemetry.snapshot import Snapshot

__all__ = ["Collect", "serve_metrics"]

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 16
MAX_REQUEST: Final = 8 * 1024  # Bytes of a request's head.
PATIENCE: Final = 10.0  # Seconds for a connection, from accepting it to the last byte of the answer.
LINGER: Final = 1.0  # Seconds to wait for the client to close its side.
PIECE: Final = 64 * 1024

PATH: Final = b"/metrics"
GONE: Final = (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)

Collect = Callable[[], Awaitable[Snapshot]]


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response."""

    status: int
    reason: str
    body: bytes
    media_type: str = "text/plain; charset=utf-8"
    allow: bool = False

    def head(self) -> h11.Response:
        """The response's head."""
        headers = [
            ("content-type", self.media_type),
            ("content-length", str(len(self.body))),
            ("connection", "close"),
        ]
        if self.allow:
            headers.append(("allow", "GET, HEAD"))
        return h11.Response(status_code=self.status, headers=headers, reason=self.reason)


_NO_SUCH_PAGE: Final = _Answer(404, "Not Found", b"metrics are at /metrics\n")
_NO_SUCH_METHOD: Final = _Answer(405, "Method Not Allowed", b"use GET\n", allow=True)
_FAILED: Final = _Answer(500, "Internal Server Error", b"the metrics could not be collected; the log says why\n")
_MALFORMED: Final = _Answer(400, "Bad Request", b"not a request in HTTP/1.1\n")


async def serve_metrics(
    bind: str, port: int, collect: Collect, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Serve ``/metrics`` until cancelled, which closes every connection.

    Args:
        bind: The address to listen on.
        port: The port; 0 picks a free one.
        collect: Returns the snapshot to render. If it raises, the error is logged and the answer is status 500.
        task_status: ``started`` gets the port, once connections are accepted.

    Raises:
        OSError: It cannot listen on the address; nothing has been started.
    """
    listener = await open_tcp_listener(bind, port)
    endpoint = _Endpoint(collect)
    async with listener, anyio.create_task_group() as connections:
        task_status.started(listener.extra(SocketAttribute.local_port))
        await listener.serve(endpoint.serve, connections)


class _Endpoint:
    """Serves connections."""

    def __init__(self, collect: Collect) -> None:
        self._collect = collect
        self._open = 0

    async def serve(self, stream: ByteStream) -> None:
        """Answer one request and close the connection. Raises only cancellation."""
        async with stream:
            if self._open >= MAX_CONNECTIONS:
                return
            self._open += 1
            try:
                with anyio.move_on_after(PATIENCE), suppress(*GONE):
                    await self._talk(stream)
            finally:
                self._open -= 1

    async def _talk(self, stream: ByteStream) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)
        try:
            request = await _request(http, stream)
            answer = await self._answer(request)
            head_only = request.method == b"HEAD"
        except h11.RemoteProtocolError as error:
            hint = error.error_status_hint
            answer, head_only = _Answer(hint, "Bad Request", _MALFORMED.body), False
        await _send(http, stream, answer, head_only=head_only)
        await _linger(stream)

    async def _answer(self, request: h11.Request) -> _Answer:
        if request.target.partition(b"?")[0] != PATH:
            return _NO_SUCH_PAGE
        if request.method not in (b"GET", b"HEAD"):
            return _NO_SUCH_METHOD
        openmetrics = _wants_openmetrics(request)
        try:
            body = render(await self._collect(), openmetrics)
        except Exception:
            log.exception("metrics could not be collected")
            return _FAILED
        return _Answer(200, "OK", body, content_type(openmetrics=openmetrics))


async def _request(http: h11.Connection, stream: ByteStream) -> h11.Request:
    """Receive a request's head; a body is not read.

    Raises:
        h11.RemoteProtocolError: It is not a valid request.
        EndOfStream: The client left before it was complete.
    """
    while True:
        event = http.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            raise anyio.EndOfStream
        try:
            http.receive_data(await stream.receive(MAX_REQUEST))
        except anyio.EndOfStream:
            http.receive_data(b"")


async def _send(http: h11.Connection, stream: ByteStream, answer: _Answer, *, head_only: bool) -> None:
    data = http.send(answer.head()) or b""
    if not head_only:
        data += http.send(h11.Data(data=answer.body)) or b""
    for at in range(0, len(data), PIECE):
        await stream.send(data[at : at + PIECE])


async def _linger(stream: ByteStream) -> None:
    """Read what else the client sends, for a moment: closing with unread data would reset the connection."""
    if hasattr(stream, "send_eof"):
        await stream.send_eof()
    with anyio.move_on_after(LINGER):
        while True:
            await stream.receive(MAX_REQUEST)


def _wants_openmetrics(request: h11.Request) -> bool:
    """Whether the client accepts OpenMetrics and does not prefer the text format (RFC 9110 §12.5.1)."""
    accepted = b",".join(value for name, value in request.headers if name == b"accept").decode("latin-1").lower()
    weights: dict[str, float] = {}
    for part in accepted.split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        weights[media_type] = max(weights.get(media_type, 0.0), _weight(parameters))
    wanted = weights.get("application/openmetrics-text", 0.0)
    return wanted > 0 and wanted >= weights.get("text/plain", 0.0)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
