"""The HTTP routes: the unary call, and whether the gateway lives and is ready."""

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from quart import Response, request

from echo.gateway.metadata import REQUEST_ID, CallContext, call_context
from echo.gateway.status import HTTP_STATUS, error_body
from echo.pb.com.gopay.echo import Message
from echo.pb.com.gopay.echo import Response as Reply
from echo.pb.grpc.health.v1 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthCheckResponseServingStatus,
)
from echo.rpc import Cardinality, GRPCError, Status

if TYPE_CHECKING:
    from echo.gateway.app import Gateway

GET_REPLY: Final = "/com.gopay.echo.Server/GetReply"
CHECK: Final = "/grpc.health.v1.Health/Check"
HELLO: Final = "Hello!"
TEXT: Final = "text/plain; charset=utf-8"

READY_TIMEOUT: Final = 2.0  # Seconds the backend has to say how it is.
# Hypercorn drops a connection that sends nothing for 60 s, which is how WebSockets of dead peers end. A call must have
# its answer before.
LONGEST: Final = 55.0


def add_http_routes(app: "Gateway") -> None:
    """Add the routes."""

    @app.get("/grpc/<any_text:key>")
    async def grpc(key: str) -> Response:  # noqa: ARG001 - Quart has decoded it; see _key
        client = request.scope["client"]
        headers = list(request.scope["headers"])
        try:
            context = call_context(headers, client[0] if client else None)
        except GRPCError as error:
            return _failed(error)
        try:
            response = await _get_reply(app, _key(request.scope["raw_path"]), context)
        except GRPCError as error:
            response = _failed(error)
        response.headers[REQUEST_ID] = context.request_id
        return response

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response(HELLO, 200, content_type=TEXT)

    @app.get("/readyz")
    async def readyz() -> Response:
        reason = "draining" if app.draining else await _not_ready(app)
        return Response(HELLO, 200, content_type=TEXT) if reason is None else Response(reason, 503, content_type=TEXT)


def _key(raw_path: bytes) -> str:
    """The key as the client meant it: what comes after ``/grpc/``, percent-decoded once, which must be UTF-8."""
    try:
        return unquote_to_bytes(raw_path.partition(b"?")[0].removeprefix(b"/grpc/")).decode()
    except UnicodeDecodeError as error:
        raise GRPCError(Status.INVALID_ARGUMENT, f"the key is no UTF-8: {error.reason}") from error


async def _get_reply(app: "Gateway", key: str, context: CallContext) -> Response:
    timeout = app.settings.grpc_client_timeout if context.timeout is None else context.timeout
    async with app.channel.request(
        GET_REPLY,
        Cardinality.UNARY_UNARY,
        Message,
        Reply,
        timeout=min(timeout, LONGEST),
        metadata=context.metadata,
    ) as stream:
        await stream.send_message(Message(message=key))
        reply = await stream.recv_message()
        assert reply is not None  # A unary call without a reply has raised.
    text = f"{uuid4()}:{reply.response}:success:{'true' if reply.success else 'false'}"
    return Response(text, 200, content_type=TEXT)


def _failed(error: GRPCError) -> Response:
    return Response(error_body(error), HTTP_STATUS[error.status], content_type="application/json")


async def _not_ready(app: "Gateway") -> str | None:
    """Why calls would not be served now, or None."""
    try:
        async with app.channel.request(
            CHECK, Cardinality.UNARY_UNARY, HealthCheckRequest, HealthCheckResponse, timeout=READY_TIMEOUT
        ) as stream:
            await stream.send_message(HealthCheckRequest())
            reply = await stream.recv_message()
            assert reply is not None
    except GRPCError as error:
        return f"the backend's health is unknown: {error.status.name}: {error.message}"
    if reply.status != HealthCheckResponseServingStatus.SERVING:
        return f"the backend is {HealthCheckResponseServingStatus(reply.status).name}"
    return None
