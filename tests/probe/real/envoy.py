"""Envoy in front of echo: the correct configuration, and common mistakes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.probe.real.row import BROKEN, LIMITED, NO_SETTING, Ports, Row, Says
from tests.support.proxy_configs import Json, address, command, typed

FILTERS: Final = "envoy.extensions.filters.http"
ROUTER: Final = typed(f"{FILTERS}.router.v3.Router")
HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
NEVER: Final = "0s"
BRIDGES: Final = "grpc_http1_bridge and grpc_http1_reverse_bridge filters"
# Envoy's own are of megabytes, so that a reader that pauses is noticed late.
WINDOWS: Final = {"initial_stream_window_size": 65_536, "initial_connection_window_size": 1_048_576}


@dataclass(frozen=True)
class Envoy:
    """A configuration; mappings of settings are put over what is right.

    Attributes:
        manager: Of the connection manager of either listener.
        route: Of the route of either listener.
        filters: What there is before the router, for gRPC.
        windows: What is said of HTTP/2 on both sides.
        http2: Whether HTTP/2 is spoken to the server.
        upgrades: Which upgrades are allowed.
        as_it_came: Whether the gateway is spoken to in the protocol that the client speaks. Else it is HTTP/1.1, and
            Envoy makes no whole handshake of that for WebSockets that come over HTTP/2.
    """

    manager: Mapping[str, object] = field(default_factory=dict)
    route: Mapping[str, object] = field(default_factory=dict)
    filters: Sequence[Json] = ()
    windows: Mapping[str, object] = field(default_factory=lambda: WINDOWS)
    http2: bool = True
    upgrades: Sequence[str] = ("websocket",)
    as_it_came: bool = True

    def __call__(self, ports: Ports, folder: Path) -> list[str]:
        tunnels = {**self.windows, "allow_connect": True}
        grpc = {"explicit_http_config": {"http2_protocol_options": self.windows}}
        web = {"use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": tunnels}}
        config = folder / "envoy.json"
        resources = {
            "listeners": [
                self._listener("grpc", ports.grpc, "server", self.filters),
                self._listener("web", ports.web, "gateway", ()),
            ],
            "clusters": [
                _cluster("server", ports.server, grpc if self.http2 else None),
                _cluster("gateway", ports.gateway, web if self.as_it_came else None),
            ],
        }
        config.write_text(json.dumps({"static_resources": resources}, indent=1))
        return command("envoy", "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "warning")

    def _listener(self, name: str, port: int, cluster: str, filters: Sequence[Json]) -> Json:
        route = {"cluster": cluster, "timeout": NEVER, **self.route}
        every = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}
        manager: Json = {
            "stat_prefix": name,
            "http2_protocol_options": {**self.windows, "allow_connect": True},
            "upgrade_configs": [{"upgrade_type": kind} for kind in self.upgrades],
            "stream_idle_timeout": NEVER,
            "route_config": {"virtual_hosts": [every]},
            "http_filters": [*filters, ROUTER],
            **self.manager,
        }
        kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        return {"name": name, "address": address(port), "filter_chains": [{"filters": [typed(kind, **manager)]}]}


def _cluster(name: str, port: int, protocol: Mapping[str, object] | None) -> Json:
    """A cluster of one server; HTTP/1.1 is spoken to it where nothing is said of the protocol."""
    ends = [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]
    cluster: Json = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": ends},
    }
    if protocol:
        options = typed(HTTP_OPTIONS, **protocol)["typed_config"]
        cluster["typed_extension_protocol_options"] = {HTTP_OPTIONS: options}
    return cluster


def connections(**options: str) -> Envoy:
    """With these of the options that do not depend on HTTP's version."""
    return Envoy({"common_http_protocol_options": options})


def row(setting: str, configure: Envoy, *says: Says, unclear: Sequence[str] = ()) -> Row:
    """A row of Envoy's."""
    return Row("Envoy", setting, configure, says, unclear)


ROWS: Final[Sequence[Row]] = (
    Row("Envoy", "right for gRPC and WebSockets", Envoy(), (Says("reset", BROKEN, NO_SETTING),), right=True),
    row(
        "no `initial_stream_window_size`",
        Envoy(windows={}),
        Says("backpressure", BROKEN, "http2_protocol_options.initial_stream_window_size"),
    ),
    row(
        "cluster without `http2_protocol_options`",
        Envoy(http2=False),
        Says("http2", BROKEN, "explicit_http_config.http2_protocol_options"),
    ),
    row(
        "`timeout: 3s` of the route",
        Envoy(route={"timeout": "3s"}),
        Says("stream-duration", LIMITED, "timeout of the route"),
    ),
    row(
        "`stream_idle_timeout: 3s`",
        Envoy({"stream_idle_timeout": "3s"}),
        Says("stream-idle", LIMITED, "stream_idle_timeout"),
        Says("ws-idle", LIMITED, "stream_idle_timeout"),
    ),
    row(
        "`max_stream_duration: 3s`",
        connections(max_stream_duration="3s"),
        Says("stream-duration", LIMITED, "max_stream_duration"),
        Says("ws-idle", LIMITED, "max_stream_duration"),
        unclear=["stream-idle"],
    ),
    row(
        "`idle_timeout: 3s`",
        connections(idle_timeout="3s"),
        Says("connection-idle", LIMITED, "idle_timeout of common_http_protocol_options"),
    ),
    row(
        "`max_connection_duration: 3s`",
        connections(max_connection_duration="3s"),
        Says("connection-idle", LIMITED, "max_connection_duration"),
    ),
    row(
        "`max_concurrent_streams: 10`",
        Envoy(windows={**WINDOWS, "max_concurrent_streams": 10}),
        Says("concurrency", LIMITED, "http2_protocol_options.max_concurrent_streams"),
    ),
    row(
        "`retry_on: 5xx,unavailable`",
        Envoy(route={"retry_policy": {"retry_on": "5xx,unavailable", "num_retries": 2}}),
        Says("retries", BROKEN, "retry_policy of the route"),
    ),
    row(
        "`per_try_timeout: 2s` with `retry_on: 5xx`",
        Envoy(route={"retry_policy": {"retry_on": "5xx", "num_retries": 2, "per_try_timeout": "2s"}}),
        Says("stream-idle", LIMITED, "per_try_timeout of the retry_policy"),
        Says("retries", BROKEN, "retry_policy of the route"),
    ),
    row("gRPC-Web filter", Envoy(filters=[typed(f"{FILTERS}.grpc_web.v3.GrpcWeb")])),
    row(
        "filter `grpc_http1_reverse_bridge`",
        Envoy(filters=[typed(f"{FILTERS}.grpc_http1_reverse_bridge.v3.FilterConfig", content_type="application/grpc")]),
        Says("status", BROKEN, BRIDGES),
        unclear=["early-end"],
    ),
    row(
        "buffer filter, 1 MiB",
        Envoy(filters=[typed(f"{FILTERS}.buffer.v3.Buffer", max_request_bytes=1_048_576)]),
        Says("message-size", LIMITED, "buffer filter"),
        Says("stream-size", LIMITED, "buffer filter"),
        Says("request-streaming", BROKEN, "buffer filter"),
        unclear=["bidirectional", "early-end", "cancel", "stream-idle", "keepalive", "backpressure"],
    ),
    row(
        "`headers_with_underscores_action: DROP_HEADER`",
        connections(headers_with_underscores_action="DROP_HEADER"),
        Says("metadata", BROKEN, "headers_with_underscores_action"),
    ),
    row(
        "`headers_with_underscores_action: REJECT_REQUEST`",
        connections(headers_with_underscores_action="REJECT_REQUEST"),
        Says("metadata", BROKEN, "headers_with_underscores_action"),
    ),
    row(
        "`max_request_headers_kb: 4`",
        Envoy({"max_request_headers_kb": 4}),
        Says("header-size", LIMITED, "max_request_headers_kb"),
    ),
    row(
        "no `upgrade_configs`",
        Envoy(upgrades=()),
        Says("ws-upgrade", BROKEN, "upgrade_configs"),
        Says("ws-http2", BROKEN, "upgrade_configs"),
    ),
    row(
        "`allow_connect: true`, HTTP/1.1 to the gateway",
        Envoy(as_it_came=False),
        Says("ws-http2", BROKEN, "use_downstream_protocol_config"),
    ),
)
