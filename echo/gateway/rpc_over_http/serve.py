"""Recognises gRPC-Web and Connect requests and serves them: the entry point for the application."""

import logging
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from echo.contract import HTTP_STATUS
from echo.gateway.metadata import BadHeaderError
from echo.gateway.origin import is_allowed
from echo.gateway.rpc_over_http import connect_unary, stream
from echo.gateway.rpc_over_http.call import Call
from echo.gateway.rpc_over_http.codec import codec_for, has_no_side_effects, is_unary, method_at
from echo.gateway.rpc_over_http.connect_stream import ConnectStream
from echo.gateway.rpc_over_http.cors import preflight_headers
from echo.gateway.rpc_over_http.exchange import Exchange, path_of
from echo.gateway.rpc_over_http.grpc_web import GrpcWeb, trailers_of
from echo.gateway.rpc_over_http.metadata import context_of
from echo.gateway.rpc_over_http.misdirected import refuse_grpc
from echo.gateway.rpc_over_http.outcome import FAULT, Outcome, error_body, outcome_of
from echo.gateway.runtime import Runtime
from echo.gateway.tracing import trace_of
from echo.rpc import GRPCError, Status

log = logging.getLogger(__name__)

_METHOD: Final = re.compile(r"/[A-Za-z_][\w.]*\.\w+/\w+", re.ASCII)
"""The path of a method whose service is in a package. The gateway's own routes have no dot in their first segment."""

_CALLABLE: Final = re.compile(r"/[!-.0->@-~]+/[!-.0->@-~]+", re.ASCII)
"""Any path that can be a call's."""

_TIMEOUT: Final = re.compile(r"[0-9]{1,10}", re.ASCII)

_PREFLIGHT: Final = frozenset({b"origin", b"access-control-request-method"})

GRPC_WEB: Final = {
    "application/grpc-web": "application/grpc-web+proto",
    "application/grpc-web+proto": "application/grpc-web+proto",
    "application/grpc-web+json": "application/grpc-web+json",
    "application/grpc-web-text": "application/grpc-web-text+proto",
    "application/grpc-web-text+proto": "application/grpc-web-text+proto",
}
"""gRPC-Web's request content types, with those of the responses."""

CONNECT_STREAMS: Final = ("application/connect+proto", "application/connect+json")
CONNECT_UNARY: Final = ("application/proto", "application/json")


def speaks_rpc(scope: HTTPScope) -> bool:
    """Whether a request is for `serve_rpc`: a call, a browser's preflight for one, or misdirected gRPC."""
    method = scope["method"]
    if method == "POST":
        kind = _media_type(scope)
        if kind != "application/json":
            return kind.startswith(("application/grpc", "application/connect+")) or kind == "application/proto"
    elif method == "GET":
        if connect_unary.parameters(scope["query_string"].decode("latin-1")).get("connect") != "v1":
            return False
    elif method != "OPTIONS" or not _PREFLIGHT.issubset(name for name, _ in scope["headers"]):
        return False
    return _METHOD.fullmatch(path_of(scope)) is not None


async def serve_rpc(runtime: Runtime, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Serve a request for which `speaks_rpc` is true."""
    exchange = Exchange(scope, receive, send, runtime.drain)
    trace = trace_of(scope)
    if trace is not None:
        trace.route = exchange.path if method_at(exchange.path) is not None else "/{service}/{method}"
    kind = _media_type(scope)
    if not is_allowed(exchange.headers, scope["scheme"], runtime.settings.http_allowed_origins):
        await _refuse_origin(exchange)
        return
    exchange.cors_origin = exchange.header(b"origin")
    if exchange.method == "OPTIONS":
        await exchange.answer(204, preflight_headers(exchange))
    elif exchange.method == "GET":
        await _serve_get(runtime, exchange)
    elif kind in CONNECT_UNARY:
        await _serve_post(runtime, exchange, kind.partition("/")[2])
    elif kind in GRPC_WEB:
        await _serve_stream(runtime, exchange, GrpcWeb(GRPC_WEB[kind], text="-text" in kind), kind)
    elif kind in CONNECT_STREAMS:
        await _serve_stream(runtime, exchange, ConnectStream(kind), kind)
    elif kind.startswith(("application/grpc-web", "application/connect+")):
        await _refuse_type(exchange, f"there is no {kind}", [*GRPC_WEB, *CONNECT_STREAMS])
    else:
        await refuse_grpc(exchange, runtime.settings)


async def _serve_stream(runtime: Runtime, exchange: Exchange, form: GrpcWeb | ConnectStream, kind: str) -> None:
    async with _reporting_errors(partial(stream.send_outcome, exchange, form)):
        form.negotiate(exchange)
        method = method_at(exchange.path)
        unary = method is not None and is_unary(method)
        call = _call(runtime, exchange, "json" if kind.endswith("+json") else "proto", unary=unary)
        await stream.serve_stream(runtime, exchange, form, call)


async def _serve_post(runtime: Runtime, exchange: Exchange, codec: str) -> None:
    method = method_at(exchange.path)
    if method is not None and not is_unary(method):
        await _refuse_type(exchange, "streams have different content types", CONNECT_STREAMS)
        return
    async with _reporting_errors(partial(_send_unary_error, exchange)):
        request = connect_unary.parse_post(exchange, codec)
        await connect_unary.serve_unary(runtime, exchange, request, _call(runtime, exchange, codec, unary=True))


async def _serve_get(runtime: Runtime, exchange: Exchange) -> None:
    method = method_at(exchange.path)
    if method is not None and not has_no_side_effects(method):
        body = error_body(Outcome(Status.UNIMPLEMENTED, "this method may have side effects: use POST"))
        await exchange.answer(405, [(b"allow", b"POST"), (b"content-type", connect_unary.JSON)], body)
        return
    async with _reporting_errors(partial(_send_unary_error, exchange)):
        if method is None:
            raise GRPCError(Status.UNIMPLEMENTED, "unknown method")
        request = connect_unary.parse_get(exchange)
        call = _call(runtime, exchange, request.codec, unary=True)
        await connect_unary.serve_unary(runtime, exchange, request, call)


@asynccontextmanager
async def _reporting_errors(report: Callable[[Outcome], Awaitable[None]]) -> AsyncIterator[None]:
    """Report an error raised in the block: the request's, or a fault of ours."""
    try:
        yield
    except GRPCError as error:
        await report(outcome_of(error))
    except Exception:
        log.exception("serving a call failed")
        await report(FAULT)


async def _send_unary_error(exchange: Exchange, outcome: Outcome) -> None:
    """Send an error as for Connect's unary calls, unless the response has already started."""
    if not exchange.response_started:
        await connect_unary.send_result(exchange, None, connect_unary.UnaryResult(outcome))


def _call(runtime: Runtime, exchange: Exchange, codec: str, *, unary: bool) -> Call:
    """The call that a request asks for.

    Raises:
        GRPCError: The request is invalid, or the method cannot be called.
    """
    if not _CALLABLE.fullmatch(exchange.path):
        raise GRPCError(Status.UNIMPLEMENTED, "the path is not that of a method: /package.Service/Method")
    if exchange.header(b"connect-protocol-version") not in (None, "1"):
        raise GRPCError(Status.INVALID_ARGUMENT, "connect-protocol-version must be 1")
    try:
        context = context_of(exchange.headers, exchange.request_id, exchange.client)
    except BadHeaderError as error:
        raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from None
    timeout = context.timeout
    if (asked := exchange.header(b"connect-timeout-ms")) is not None:
        if not _TIMEOUT.fullmatch(asked):
            raise GRPCError(Status.INVALID_ARGUMENT, "connect-timeout-ms must be up to ten digits")
        timeout = int(asked) / 1000
    if timeout is None:
        timeout = runtime.settings.grpc_client_timeout if unary else math.inf
    return Call(exchange.path, codec_for(codec, exchange.path), context.metadata, trio.current_time() + timeout)


async def _refuse_origin(exchange: Exchange) -> None:
    origin = exchange.header(b"origin") or ""
    text = f"pages of {origin[:200]} may not call this gateway: HTTP_ALLOWED_ORIGINS does not list that origin"
    outcome = Outcome(Status.PERMISSION_DENIED, text)
    headers = [(b"content-type", connect_unary.JSON), *trailers_of(outcome), (b"vary", b"origin")]
    await exchange.answer(HTTP_STATUS[outcome.status], headers, error_body(outcome))


async def _refuse_type(exchange: Exchange, text: str, wanted: Iterable[str]) -> None:
    """Answer 415 (RFC 9110 §15.5.16)."""
    body = error_body(Outcome(Status.UNIMPLEMENTED, f"{text[:200]}: use {', '.join(wanted)}"))
    headers = [(b"accept-post", ", ".join(wanted).encode()), (b"content-type", connect_unary.JSON)]
    await exchange.answer(415, headers, body)


def _media_type(scope: HTTPScope) -> str:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return value.decode("latin-1").partition(";")[0].strip().lower()
    return ""
