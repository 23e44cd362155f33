"""What the path is made of, as far as can be seen from its ends."""

from collections.abc import Iterable, Sequence
from typing import Final

import trio

from echo.probe.calls import UNARY
from echo.probe.evidence import Record, headers_of
from echo.probe.http2 import Http2, open_http2
from echo.probe.line import Line
from echo.probe.path import Path
from echo.probe.report import Facts
from echo.probe.target import Target
from echo.wire import Request

MORE: Final = 4  # Calls, besides the first.
_SETTINGS: Final = {
    1: "HEADER_TABLE_SIZE",
    2: "ENABLE_PUSH",
    3: "MAX_CONCURRENT_STREAMS",
    4: "INITIAL_WINDOW_SIZE",
    5: "MAX_FRAME_SIZE",
    6: "MAX_HEADER_LIST_SIZE",
    8: "ENABLE_CONNECT_PROTOCOL",
}
# How products show in headers of requests and responses: the beginning of a header's name, and the product.
_SIGNS: Final = {
    "x-envoy-": "Envoy",
    "x-istio-": "Istio",
    "x-amzn-": "AWS ALB",
    "cf-": "Cloudflare",
    "x-cloud-trace-context": "GCP",
    "x-traefik-": "Traefik",
    "x-scheme": "ingress-nginx",
    "x-original-forwarded-for": "ingress-nginx",
}
_SERVERS: Final = {
    "nginx": "nginx",
    "envoy": "Envoy",
    "istio-envoy": "Istio",
    "awselb": "AWS ALB",
    "cloudflare": "Cloudflare",
}
_SENT: Final = {name.decode() for name, _ in Request("/").fields()}


async def explore(path: Path) -> Facts:
    """Examine the path: one HTTP/2 connection with a call on it, what the server saw of it, and the other servers."""
    where = path.target
    stream = await Line(where, path.tls, path.server_name).connect(["h2", "http/1.1"])
    tls, alpn = _tls(stream)
    if alpn not in (None, "h2"):
        await stream.aclose()
        return Facts(protocol="HTTP/1.1", tls=tls)
    call_id = path.new_call_id()
    async with open_http2(stream, where.scheme, path.authority or where.authority) as connection:
        with trio.move_on_after(3.0):
            if not await connection.ready():
                return _of_http1(connection.foreign, tls)
            call = path.begin(connection, UNARY, call_id=call_id)
            await call.send(path.message(UNARY), end=True)
            await call.until_over()
        records = await path.evidence(call_id, within=0.5) or []
        answered = call.fields
        arrived = [name for record in records for name, _ in headers_of(record)]
        return Facts(
            protocol="HTTP/2",
            tls=tls,
            settings=_settings(connection),
            instances=sorted({record.instance for record in [*records, *await _others(path)] if record.instance}),
            added_headers=_added(arrived, [name for name, _ in path.headers]),
            hops_guess=_guess(arrived, answered),
        )


async def _others(path: Path) -> list[Record]:
    """What servers saw of a few more calls, each on its own connection, through the path and bypassing it."""
    found: list[Record] = []

    async def call(end: Target) -> None:
        with trio.move_on_after(3.0):
            async with path.channel(end) as channel:
                answer = await path.call(channel, UNARY, timeout=3.0)
            if answer.ok:
                found.extend(await path.evidence(answer.call_id, within=0.5) or [])

    async with trio.open_nursery() as nursery:
        for end in [path.target] * MORE + [*path.direct]:
            nursery.start_soon(call, end)
    return found


def _tls(stream: object) -> tuple[str | None, str | None]:
    if not isinstance(stream, trio.SSLStream):
        return None, None
    return stream.version(), stream.selected_alpn_protocol()


def _settings(connection: Http2) -> dict[str, int]:
    return {_SETTINGS[number]: value for number, value in (connection.settings or {}).items() if number in _SETTINGS}


def _of_http1(answer: bytes, tls: str | None) -> Facts:
    """What can be learnt from an HTTP/1 answer, if it is one."""
    if not answer.startswith(b"HTTP/1"):
        return Facts(tls=tls)
    lines = answer.decode("latin-1").split("\r\n\r\n", 1)[0].splitlines()[1:]
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Facts(protocol="HTTP/1.1", tls=tls, hops_guess=_guess([], fields))


def _added(arrived: Iterable[str], ours: Sequence[str]) -> list[str]:
    sent = _SENT | {name.lower() for name in ours} | {"x-echo-call-id"}
    return sorted({name for name in arrived if not name.startswith(":") and name not in sent})


def _guess(arrived: Sequence[str], answered: dict[str, str]) -> list[str]:
    names = {*arrived, *answered}
    found = {product for sign, product in _SIGNS.items() if any(name.startswith(sign) for name in names)}
    server = answered.get("server", "").lower().partition("/")[0]
    if server in _SERVERS:
        found.add(_SERVERS[server])
    if "via" in answered:
        found.add(f"via {answered['via']}"[:80])
    if "x-forwarded-for" in names and not found:
        found.add("an HTTP proxy")
    return sorted(found)
