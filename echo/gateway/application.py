"""The gateway as an application: Quart-Trio, with a gRPC server behind it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart.wrappers import BaseRequestWebsocket
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGILifespan
from werkzeug.routing import MapAdapter

from echo.access_log import AccessLog
from echo.gateway.access import RequestNotes
from echo.gateway.backend import open_backend
from echo.gateway.console import add_console
from echo.gateway.hypercorn_compat import connection_counts, install
from echo.gateway.inspection import add_inspection
from echo.gateway.route import RPC_ROUTE, note_route, noted_route
from echo.gateway.routes import add_routes
from echo.gateway.rpc_over_http import known_methods, serve_rpc, speaks_rpc
from echo.gateway.runtime import Runtime
from echo.gateway.tracing import GatewayTracing, OpenTracing, keep_trace, untraced
from echo.gateway.websocket_handling import GatewayWebsocket, SocketConnection
from echo.limits import client_keepalive, client_limits
from echo.logs import open_access_log
from echo.rpc import CallNotes, open_channel
from echo.settings import Settings
from echo.targets import read_targets
from echo.tls_files import TlsFiles, client_files, following

if TYPE_CHECKING:
    from echo.telemetry.meters import Meters
    from echo.telemetry.web import WebMeter

__all__ = ["Gateway", "create_app"]

ANOTHER_LOOP = "the gateway runs on trio only: start it with hypercorn --worker-class trio echo.gateway:app"

MAX_BODY = 64 * 1024  # The largest request body accepted, in bytes; Quart's routes read none.


class Lifespan(TrioASGILifespan):
    """Keeps the channel to the server open while the application is served, from before startup until after shutdown.

    Quart's ``while_serving`` is not used: it takes a generator, and a nursery must not be open across a ``yield``.
    """

    app: "Gateway"

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Go through ASGI's lifespan."""
        runtime = self.app.runtime
        settings = runtime.settings
        async with following(self.app.tls, hangup=self.app.hangup), self.app.open_tracing() as runtime.tracing:
            open_one = partial(
                open_channel,  # It connects when the first call needs it.
                settings.grpc_server_host,
                settings.grpc_server_port,
                tls=self.app.tls,
                server_hostname=settings.grpc_client_server_name,
                authority=settings.grpc_client_authority,
                balance=settings.grpc_client_balance,
                health_service="" if settings.grpc_client_balance == "round_robin" else None,
                limits=client_limits(settings),
                keepalive=client_keepalive(settings),
                notes=self.app.calls,
                tracing=None if runtime.tracing is None else runtime.tracing.calls,
            )
            async with open_backend(open_one, settings.grpc_max_concurrent_streams) as runtime.backend:
                await super().__call__(receive, send)


class Gateway(QuartTrio):
    """The application.

    Attributes:
        runtime: What its parts share.
        tls: The TLS for calling the gRPC server; None for plain text.
        hangup: Returns when the files of that should be looked at, besides every few seconds.
        open_tracing: Opens what records requests as traces, while the application is served.
        calls: Is notified of its calls; None for no notes.
    """

    asgi_lifespan_class = Lifespan
    asgi_websocket_class = SocketConnection  # type: ignore[assignment]  # It has everything that Quart uses.
    websocket_class = GatewayWebsocket

    def __init__(
        self,
        settings: Settings,
        tls: TlsFiles | None,
        meters: "Meters | None" = None,
        open_tracing: OpenTracing = untraced,
        hangup: Callable[[], Awaitable[None]] = trio.sleep_forever,
    ) -> None:
        super().__init__("echo.gateway", static_folder=None)
        access_log = open_access_log(wanted=settings.access_log, log_format=settings.log_format)
        self.runtime = Runtime(settings, access_log)
        self.tls = tls
        self.open_tracing = open_tracing
        self.hangup = hangup
        self.calls: CallNotes | None = None
        if meters is not None:
            meters.watch_log(access_log)
            meters.watch_certificate(tls)
            self.runtime.web = meters.for_web(connection_counts)
            self.calls = meters.for_client(_target(settings), known_methods())
        self.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    @property
    def max_message_size(self) -> int:
        """The largest WebSocket message accepted, in bytes."""
        return self.runtime.settings.grpc_max_message_size

    @property
    def ping_interval(self) -> float:
        """Seconds between pings of a WebSocket; infinity for none."""
        return self.runtime.settings.http_ping_interval

    @property
    def web(self) -> "WebMeter | None":
        """Counts requests and WebSockets; None for no counts."""
        return self.runtime.web

    @property
    def access_log(self) -> AccessLog | None:
        """The access log for WebSockets; None for no lines."""
        return self.runtime.access_log

    @property
    def tracing(self) -> GatewayTracing | None:
        """Records WebSockets as traces; None for no traces."""
        return self.runtime.tracing

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Route a request only by its path. Quart also looks at the host, and fails if that is invalid."""
        if request is None:
            return super().create_url_adapter(None)
        query = request.query_string.decode("latin-1")
        return self.url_map.bind(
            "gateway", request.root_path, None, request.scheme, request.method, request.path, query
        )

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve gRPC-Web and Connect calls below Quart, everything else with Quart; log a line for each request."""
        if scope["type"] == "lifespan" and not trio.lowlevel.in_trio_run():
            # The server logs the message and exits; an exception would let it go on without a lifespan.
            await send({"type": "lifespan.startup.failed", "message": ANOTHER_LOOP})
            return
        log, web, tracing = self.runtime.access_log, self.runtime.web, self.runtime.tracing
        if scope["type"] != "http" or (log is None and web is None and tracing is None):
            await self._serve(scope, receive, send)
            return
        trace = None if tracing is None else tracing.begin(scope, scope["headers"])
        if trace is not None:
            keep_trace(scope, trace)
        notes = RequestNotes(scope, receive, send)
        method, scheme, version = scope["method"], scope["scheme"], scope["http_version"]
        if web is not None:
            web.request_began(method, scheme)
        try:
            await self._serve(scope, notes.receive, notes.send)
        finally:
            if trace is not None:
                trace.responded(notes.status, notes.reason)
            if web is not None:
                seconds, route = notes.seconds, noted_route(scope)
                web.request_ended(method, scheme, version, route, notes.status, seconds, complete=notes.complete)
            if log is not None:
                log.write(notes.entry())

    async def _serve(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "http" and speaks_rpc(scope):
            note_route(scope, RPC_ROUTE)
            await serve_rpc(self.runtime, scope, receive, send)
        else:
            if scope["type"] == "http" and not scope["path"]:  # From "GET ?a=b": Quart fails on it; " " has no route.
                scope["path"] = " "
            await super().asgi_app(scope, receive, send)


def _target(settings: Settings) -> str:
    """The target of the gateway's calls, as a channel names it."""
    targets = read_targets(settings.grpc_server_host)
    return ",".join(str(target.at(settings.grpc_server_port)) for target in targets)


def create_app(
    settings: Settings,
    meters: "Meters | None" = None,
    open_tracing: OpenTracing = untraced,
    hangup: Callable[[], Awaitable[None]] = trio.sleep_forever,
) -> Gateway:
    """Create the application; nothing is opened until it is served. Corrects Hypercorn in this process (`install`).

    Args:
        settings: Which server to call, and how.
        meters: Counts what it does; None for no metrics.
        open_tracing: Opens what records its requests as traces.
        hangup: Returns when TLS files should be looked at, besides every few seconds.

    Raises:
        SettingsError: A certificate or key for calling the gRPC server can't be used.
        UnsupportedVersionError: `install` does not support this version of Hypercorn or wsproto.
    """
    install()
    app = Gateway(settings, client_files(settings), meters, open_tracing, hangup)
    add_routes(app, app.runtime)
    add_inspection(app, app.runtime)
    add_console(app)
    return app
