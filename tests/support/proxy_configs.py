"""Configurations of nginx, haproxy and envoy as proxies in front of echo, each in its own language.

Beyond addresses it is: HTTP/2 on both sides for gRPC, HTTP/1.1 with upgrades for WebSockets, no limit to the length of
a stream or to its silence, no limit to its size, and another backend for a call that one did not take. What differs
from a proxy's defaults is what a user has to set as well.
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.support.serving import LOOPBACK
from tests.support.tls import Pair

NAME: Final = "localhost"  # The name in the backends' certificates.


@dataclass(frozen=True)
class Front:
    """What a proxy does.

    Attributes:
        backends: Ports of the servers behind it, taken in turn.
        websockets: They are gateways, spoken to in HTTP/1.1; else gRPC servers, spoken to in HTTP/2.
        shows: The certificate that clients are shown, over TLS; None for plain text.
        trusts: File of the authority that the backends' certificates are checked by, over TLS; None for plain text.
        locations: What nginx passes on and how, in its own words, where that is not everything to ``http://backends``.
    """

    backends: tuple[int, ...]
    websockets: bool = False
    shows: Pair | None = None
    trusts: str | None = None
    locations: str = ""


Write: TypeAlias = Callable[[Front, int, Path], list[str]]
"""Writes the configuration for a proxy on this port into this folder; returns the command that runs the proxy."""


def program(name: str) -> str | None:
    """The path of a proxy's program: beside Python's own programs (envoy comes from PyPI), or else on PATH."""
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return str(beside)
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def command(name: str, *arguments: str) -> list[str]:
    """The command line that runs it."""
    found = program(name)
    assert found is not None, f"{name} is not installed"
    return [found, *arguments]


def nginx_config(front: Front, port: int, folder: Path) -> list[str]:
    """For nginx: ``grpc_pass``, or ``proxy_pass`` with the upgrade."""
    servers = "\n".join(f"server {LOOPBACK}:{backend};" for backend in front.backends)
    speaks = ("ssl " if front.shows else "") + ("" if front.websockets else "http2")
    tls = f"ssl_certificate {front.shows.cert}; ssl_certificate_key {front.shows.key};" if front.shows else ""
    verify = f"""
        grpc_ssl_verify on;
        grpc_ssl_trusted_certificate {front.trusts};
        grpc_ssl_name {NAME};
        grpc_ssl_server_name on;
    """
    grpc = f"""
        grpc_pass {"grpcs" if front.trusts else "grpc"}://backends;
        grpc_read_timeout 1h;  # Otherwise a stream ends after a minute of silence.
        grpc_send_timeout 1h;
        {verify if front.trusts else ""}
    """
    websockets = """
        proxy_pass http://backends;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host $http_host;  # Otherwise a browser's Origin does not match the gateway's host.
        proxy_read_timeout 1h;
        proxy_send_timeout 1h;
    """
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(f"""
        daemon off;
        master_process off;
        pid {folder}/pid;
        error_log stderr warn;
        events {{ worker_connections 512; }}
        http {{
            access_log off;
            {temporary}
            client_max_body_size 0;
            client_body_timeout 1h;
            map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
            upstream backends {{
                {servers}
                keepalive 8;
            }}
            server {{
                listen {LOOPBACK}:{port} {speaks};
                {tls}
                {front.locations or f"location / {{ {websockets if front.websockets else grpc} }}"}
            }}
        }}
    """)
    return command("nginx", "-e", "stderr", "-p", str(folder), "-c", str(config))


def haproxy_config(front: Front, port: int, folder: Path) -> list[str]:
    """For haproxy: ``proto h2`` on both sides, or plain HTTP, which upgrades by itself.

    Before version 3 it offers windows larger than its buffers. A stream that is full in both directions then stalls for
    good: each side's WINDOW_UPDATE waits in haproxy behind the same side's DATA, and that for the other's
    WINDOW_UPDATE (RFC 9113 §5.2.2 warns of it). A window of one buffer, 16 KiB, never has haproxy hold DATA back.
    """
    h2 = not front.websockets
    bind = "proto h2" if h2 else ""
    if front.shows:
        both = folder / "shown.pem"
        both.write_bytes(b"".join(Path(part).read_bytes() for part in front.shows))
        bind = f"ssl crt {both} alpn {'h2' if h2 else 'http/1.1'}"
    call = "proto h2" if h2 else ""
    if front.trusts:
        call = f"ssl verify required ca-file {front.trusts} verifyhost {NAME} alpn {'h2' if h2 else 'http/1.1'}"
    servers = "\n".join(
        f"    server s{number} {LOOPBACK}:{backend} {call}" for number, backend in enumerate(front.backends)
    )
    config = folder / "haproxy.cfg"
    config.write_text(f"""
global
    nbthread 1
    tune.h2.initial-window-size 16384
    maxconn 500
    log stderr format raw local0 warning

defaults
    mode http
    log global
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    retries 3
    option redispatch 1
    retry-on conn-failure

frontend front
    bind {LOOPBACK}:{port} {bind}
    default_backend back

backend back
    balance roundrobin
{servers}
""")
    return command("haproxy", "-db", "-f", str(config))


Json: TypeAlias = dict[str, Any]


def typed(name: str, **fields: object) -> Json:
    """A message with its type, by which envoy knows how to read it."""
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{name}", **fields}}


# Envoy's default windows are megabytes, so a slow reader would be noticed late.
_HTTP2: Final = {"initial_stream_window_size": 65_536, "initial_connection_window_size": 1_048_576}
# The number of streams that a new connection opens before the server's SETTINGS arrive. Without it, envoy opens all the
# streams it has, and fails a call that is refused four times.
_STREAMS: Final = {"max_concurrent_streams": 100}
_BUFFER: Final = 65_536
_FOREVER: Final = "0s"
_RETRY: Final = {
    "retry_on": "connect-failure,refused-stream",
    "num_retries": 3,
    "retry_host_predicate": [typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")],
    "host_selection_retry_max_attempts": 3,
}


def envoy_config(front: Front, port: int, folder: Path) -> list[str]:
    """For envoy: a listener, a route and a cluster."""
    h2 = not front.websockets
    manager: Json = {
        "stat_prefix": "front",
        "codec_type": "HTTP2" if h2 else "HTTP1",
        "http2_protocol_options": _HTTP2,
        "stream_idle_timeout": _FOREVER,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "route": {"cluster": "backends", "timeout": _FOREVER, "retry_policy": _RETRY},
                        }
                    ],
                }
            ]
        },
        "http_filters": [typed("envoy.extensions.filters.http.router.v3.Router")],
    }
    if front.websockets:
        manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    chain: Json = {
        "filters": [
            typed(
                "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                **manager,
            )
        ]
    }
    if front.shows:
        pair = {
            "certificate_chain": {"filename": front.shows.cert},
            "private_key": {"filename": front.shows.key},
        }
        chain["transport_socket"] = typed(
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context={"tls_certificates": [pair], "alpn_protocols": ["h2"] if h2 else ["http/1.1"]},
        )
    cluster: Json = {
        "name": "backends",
        "type": "STATIC",
        "connect_timeout": "10s",
        "per_connection_buffer_limit_bytes": _BUFFER,
        # By default it retries at most three calls at a time, which is too few when a backend goes away.
        "circuit_breakers": {"thresholds": [{"max_retries": 1_000}]},
        "load_assignment": {
            "cluster_name": "backends",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address(backend)}} for backend in front.backends]}
            ],
        },
    }
    if h2:
        options = typed(
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            explicit_http_config={"http2_protocol_options": _HTTP2 | _STREAMS},
        )["typed_config"]
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        }
    if front.trusts:
        name = {"san_type": "DNS", "matcher": {"exact": NAME}}
        trusted = {"trusted_ca": {"filename": front.trusts}, "match_typed_subject_alt_names": [name]}
        cluster["transport_socket"] = typed(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            sni=NAME,
            common_tls_context={"validation_context": trusted, "alpn_protocols": ["h2"] if h2 else ["http/1.1"]},
        )
    listener = {
        "name": "front",
        "address": address(port),
        "per_connection_buffer_limit_bytes": _BUFFER,
        "filter_chains": [chain],
    }
    config = folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}, indent=1))
    return command("envoy", "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")


def address(port: int) -> Json:
    """A port of the loopback as envoy writes it."""
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}
