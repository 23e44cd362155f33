"""The gateway's routes: reading requests and building responses.

This handles a WebSocket up to the upgrade and from the close on; the relay handles it in between.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import cast
from urllib.parse import unquote_to_bytes, urlsplit
from uuid import uuid4

import trio
from hypercorn.typing import HTTPScope, WebsocketScope
from quart import Response, g, has_request_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import BaseConverter, WebsocketMismatch

from echo.close_codes import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, NORMAL
from echo.contract import HTTP_STATUS
from echo.evidence import INSTANCE
from echo.gateway.access import LEFT, SocketNotes
from echo.gateway.arrival import describe_arrival
from echo.gateway.evidence import GatewayRecord
from echo.gateway.metadata import (
    INSTANCE_HEADER,
    REQUEST_ID,
    BadHeaderError,
    CallContext,
    call_context,
    identify,
    response_headers,
)
from echo.gateway.origin import is_allowed
from echo.gateway.relay import BIDIRECTIONAL, CLIENT_STREAM, SERVER_STREAM, Call, Kind, relay
from echo.gateway.route import note_route, template_of
from echo.gateway.runtime import Runtime
from echo.gateway.scripting import script_of
from echo.gateway.status import DRAINING, close_of_failed_call, error_body, status_of_http_error
from echo.gateway.tracing import headers_of, trace_of
from echo.gateway.websocket_handling import current_socket
from echo.pb.com.gopay.echo import Message
from echo.pb.com.gopay.echo import Response as Reply
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.pb.grpc.health.v1 import HealthCheckRequest, HealthCheckResponse, HealthCheckResponseServingStatus
from echo.printable import printable
from echo.rpc import Cardinality, GRPCError, Status
from echo.scripting import ScriptError

log = logging.getLogger(__name__)

GET_REPLY = "/com.gopay.echo.Server/GetReply"
CHECK = "/grpc.health.v1.Health/Check"
READINESS_TIMEOUT = 2.0  # Seconds; probes rarely wait longer.

TEXT = "text/plain; charset=utf-8"
HELLO = "Hello!"
ORIGIN_REFUSED = "the origin is not allowed"


class _Anything(BaseConverter):
    """The rest of a path, any characters, but not empty."""

    regex = "(?s:.+)"
    part_isolating = False


def add_routes(app: QuartTrio, runtime: Runtime) -> None:
    """Add the routes and the error handlers to the application."""
    # Keys may contain slashes, even several in a row, which a redirect must not merge.
    app.url_map.merge_slashes = False
    app.url_map.converters["anything"] = _Anything
    app.add_url_rule("/grpc/<anything:key>", "reply", partial(_reply, runtime))
    app.add_url_rule("/healthz", "alive", _alive)
    app.add_url_rule("/readyz", "ready", partial(_ready, runtime))
    for name, kind in (("bidirectional", BIDIRECTIONAL), ("server", SERVER_STREAM), ("client", CLIENT_STREAM)):
        app.add_websocket(f"/ws/stream/{name}", name, partial(_stream, runtime, kind))
    app.before_request(partial(_identify_request, runtime))
    app.before_websocket(_identify_websocket)
    app.after_request(partial(_finish, runtime))
    app.after_websocket(_finish_rejection)  # type: ignore[type-var]  # Quart passes None after an upgrade.
    app.register_error_handler(HTTPException, partial(_http_error, runtime))
    app.register_error_handler(BadHeaderError, _bad_request)
    app.register_error_handler(ScriptError, _bad_request)


async def _reply(runtime: Runtime, key: str) -> Response:  # noqa: ARG001 - `key_of` decodes it more exactly than Quart
    """Call ``GetReply`` with the key."""
    context = _context(request.scope)
    scripted, call_id = script_of(request.scope, runtime.settings)
    try:
        message = Message(message=key_of(request.scope["raw_path"], request.scope["root_path"]))
    except UnicodeDecodeError:
        return _error(Status.INVALID_ARGUMENT, "the key is not UTF-8")
    timeout = runtime.settings.grpc_client_timeout if context.timeout is None else context.timeout
    response = _error(Status.UNAVAILABLE, DRAINING.reason)  # Kept if the drain cancels the call.
    record = None if call_id is None else runtime.recorder.begin(request.scope, call_id)
    try:
        with runtime.drain.work():
            async with runtime.backend.channel() as channel:
                metadata = [*context.metadata, *scripted]
                call = channel.request(
                    GET_REPLY, Cardinality.UNARY_UNARY, Message, Reply, timeout=timeout, metadata=metadata
                )
                try:
                    async with call:
                        await call.send_message(message, end=True)
                        reply = await call.recv_message()
                        assert reply is not None
                    success = "true" if reply.success else "false"
                    response = Response(f"{uuid4()}:{reply.response}:success:{success}", content_type=TEXT)
                except GRPCError as error:
                    response = _error(error.status, error.message)
                response.headers.extend(response_headers(call.initial_metadata, call.trailing_metadata))
    except trio.Cancelled:  # Not by the drain, whose scope has caught that.
        if record is not None:
            record.end("cancelled", "", LEFT)
        raise
    if record is not None:
        record.end("completed", str(response.status_code))
    return response


async def _alive() -> Response:
    return Response(HELLO, content_type=TEXT)


async def _ready(runtime: Runtime) -> Response:
    """Report readiness: the server is reachable and SERVING, and the gateway is not draining."""
    if runtime.drain.unready:
        return Response("the gateway is going away", 503, content_type=TEXT)
    try:
        async with (
            runtime.backend.channel() as channel,
            channel.request(
                CHECK,
                Cardinality.UNARY_UNARY,
                HealthCheckRequest,
                HealthCheckResponse,
                timeout=READINESS_TIMEOUT,
            ) as call,
        ):
            await call.send_message(HealthCheckRequest(), end=True)
            answer = await call.recv_message()
    except GRPCError as error:
        return Response(f"{error.status.name}: {error.message or ''}", 503, content_type=TEXT)
    assert answer is not None
    if answer.status != HealthCheckResponseServingStatus.SERVING:
        name = HealthCheckResponseServingStatus.try_value(answer.status).name
        return Response(f"the backend is {name or answer.status}", 503, content_type=TEXT)
    return Response(HELLO, content_type=TEXT)


async def _stream(runtime: Runtime, kind: Kind) -> Response | None:
    """Relay a WebSocket to a stream."""
    scope = websocket.scope
    socket = current_socket(websocket)
    socket.notes.route = template_of(websocket)
    if not is_allowed(scope["headers"], scope["scheme"], runtime.settings.http_allowed_origins):
        _record_refusal(runtime, scope, HTTP_STATUS[Status.PERMISSION_DENIED], ORIGIN_REFUSED)
        return _error(Status.PERMISSION_DENIED, ORIGIN_REFUSED)
    context = _context(scope)
    close, record = DRAINING, None
    with runtime.drain.work():
        await socket.accept([(REQUEST_ID, g.request_id), (INSTANCE_HEADER, INSTANCE)])
        try:
            scripted, call_id = script_of(scope, runtime.settings)
        except ScriptError as error:
            close = close_of_failed_call(Status.INVALID_ARGUMENT, str(error))
        else:
            if call_id is not None:
                record = runtime.recorder.begin(scope, call_id)
                record.count_by(socket.notes)
            context.metadata.extend(scripted)
            open_call = partial(_open, runtime, kind, context)
            close = await relay(socket, kind, open_call, runtime.settings.grpc_client_timeout)
    if close.code == INTERNAL_ERROR and not socket.closed:
        log.warning("request %s: the WebSocket closes with 1011: %s", g.request_id, printable(close.reason))
    await socket.close(close)
    if record is not None:
        _end_record(record, socket.notes)
    return None


def _record_refusal(runtime: Runtime, scope: HTTPScope | WebsocketScope, http_status: int, why: str) -> None:
    """Record a refused handshake if it has a call-id, since a browser does not tell its page the reason."""
    with suppress(ScriptError):
        _, call_id = script_of(scope, runtime.settings)
        if call_id is not None:
            runtime.recorder.begin(scope, call_id).end("failed", str(http_status), why)


def _end_record(record: GatewayRecord, notes: SocketNotes) -> None:
    """Record how the WebSocket ended."""
    outcome = {NORMAL: "completed", ABNORMAL: "connection lost", INTERNAL_ERROR: "failed", GOING_AWAY: "draining"}
    by_client = notes.by_client and notes.status != ABNORMAL
    record.end("cancelled" if by_client else outcome.get(notes.status or 0, "failed"), str(notes.status), notes.reason)


@asynccontextmanager
async def _open(runtime: Runtime, kind: Kind, context: CallContext) -> AsyncIterator[Call]:
    async with (
        runtime.backend.channel() as channel,
        channel.request(
            kind.path,
            kind.cardinality,
            StreamMessage,
            StreamResponse,
            timeout=context.timeout,
            metadata=context.metadata,
        ) as call,
    ):
        yield call


def key_of(raw: bytes, root_path: str = "") -> str:
    """The key of ``/grpc/{key}``: the rest of the request's path, percent-decoded once.

    Args:
        raw: The request's target, without the query.
        root_path: The path that the application is mounted at.

    Raises:
        UnicodeDecodeError: The key is not UTF-8.
        NotFound: The slash before the key is percent-encoded.
    """
    if not raw.startswith(b"/"):  # RFC 9112 §3.2.2: it may be an absolute URL.
        raw = urlsplit(raw).path
    parts = raw.removeprefix(root_path.encode()).split(b"/", 2)
    if len(parts) < 3 or not parts[2]:
        raise NotFound
    return unquote_to_bytes(parts[2]).decode()


def _context(scope: HTTPScope | WebsocketScope) -> CallContext:
    client = scope["client"]
    return call_context(headers_of(scope), g.request_id, client[0] if client else None)


async def _identify_request(runtime: Runtime) -> None:
    g.request_id = identify(request.scope)
    if runtime.web is not None:
        note_route(cast("HTTPScope", request.scope), template_of(request))
    trace = trace_of(cast("HTTPScope", request.scope))
    if trace is not None:
        trace.route = template_of(request)


async def _identify_websocket() -> None:
    g.request_id = identify(websocket.scope)
    trace = trace_of(cast("WebsocketScope", websocket.scope))
    if trace is not None:
        trace.route = template_of(websocket)


async def _finish(runtime: Runtime, response: Response) -> Response:
    response.headers[REQUEST_ID] = g.request_id
    response.headers[INSTANCE_HEADER] = INSTANCE
    if runtime.drain.started and request.http_version.startswith("1"):
        response.headers["connection"] = "close"  # The client should send its next request elsewhere.
    return response


async def _finish_rejection(response: Response | None) -> Response | None:
    if response is not None:
        response.headers[REQUEST_ID] = g.request_id
        response.headers[INSTANCE_HEADER] = INSTANCE
    return response


async def _http_error(runtime: Runtime, error: HTTPException) -> Response:
    """Answer Quart's own errors: unknown routes and methods, and faults of ours."""
    if isinstance(error, WebsocketMismatch) and has_request_context():
        scope = cast("HTTPScope", request.scope)
        _record_refusal(runtime, scope, 426, "this route takes WebSockets")
        arrival = describe_arrival(scope, runtime.settings.http_allowed_origins)
        response = Response(arrival, 426, content_type="application/json")
        response.headers["upgrade"] = "websocket"
        return response
    http_status = error.code or 500
    text = "the gateway failed" if http_status >= 500 else error.name
    response = _error(status_of_http_error(http_status), text, http_status)
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


async def _bad_request(error: BadHeaderError | ScriptError) -> Response:
    return _error(Status.INVALID_ARGUMENT, str(error))


def _error(status: Status, message: str | None, http_status: int | None = None) -> Response:
    body = error_body(status, message)
    return Response(body, http_status or HTTP_STATUS[status], content_type="application/json")
