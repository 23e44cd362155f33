"""`http2`: does the path speak HTTP/2, to us and to the server?

The reply shows what is spoken to the server: echo's gRPC port only speaks HTTP/2, so a gRPC reply proves it. Lost
trailers are reported by `trailers`.
"""

import re
from dataclasses import replace
from typing import Final

import trio

from echo.printable import printable
from echo.probe.asking import status_in_words
from echo.probe.calls import UNARY
from echo.probe.check import Check
from echo.probe.finding import Finding, Outcome, broken, limited, survived
from echo.probe.http2 import Http2, open_http2
from echo.probe.line import Line, speaks_tls
from echo.probe.path import Path
from echo.probe.target import Target
from echo.rpc import Status

OURS: Final = re.compile(rb"the request arrived as (HTTP/\d\.\d)")  # The server's reply to HTTP/1 on its port.
REFUSALS: Final = ("302", "303", "307", "401", "403", "407")  # Redirects lead to a page to log in.
# What else a hop answers itself; the server answers a plain call, and knows its method.
NOT_LET_IN: Final = (Status.PERMISSION_DENIED, Status.UNAUTHENTICATED)
# How PROXY protocol begins, in both versions; echo says of a connection what it began with instead of HTTP/2.
PROXY_PROTOCOL: Final = ("began with b'PROXY ", r"began with b'\r\n\r\n\x00\r\nQUIT")
GATEWAY: Final = "UNIMPLEMENTED (this is the gateway's HTTP port"  # What echo's gateway says to plain gRPC.
NO_ROUTE: Final = ("404", "421")
NO_SERVER: Final = ("503", "504")
PATIENCE = 3.0  # Seconds for each answer.


class Http2Check(Check):
    """Begins to speak HTTP/2, and makes a plain call."""

    name = "http2"
    question = "Does the path speak HTTP/2, to us and to the server?"
    needs = ()
    patience = 8.0
    causes = ("alpn", "http1", "silence", "refused", "no-route", "no-server", "call", "unanswered")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        where = path.target
        stream = await Line(where, path.tls, path.server_name).connect(["h2", "http/1.1"])
        chosen = stream.selected_alpn_protocol() if isinstance(stream, trio.SSLStream) else "h2"
        if chosen == "http/1.1":
            await stream.aclose()
            return broken("alpn", "The path chose HTTP/1.1 though we offered HTTP/2 in the TLS handshake (ALPN).")
        async with open_http2(stream, where.scheme, path.authority or where.authority) as connection:
            with trio.move_on_after(PATIENCE):
                await connection.ready()
            if connection.settings is not None:
                finding = await self._call(path, connection)
                return _without_alpn() if chosen is None and finding.outcome is Outcome.SURVIVED else finding
        return await self._no_http2(where, connection)

    async def _no_http2(self, where: Target, connection: Http2) -> Finding:
        if not where.tls and connection.ended and await speaks_tls(where):
            url = f"https://{where.authority}"
            return broken("", f"This port speaks TLS, and was called without it: write {url}, or add --tls.")
        if connection.refusal:
            flags = " (--cert and --key)" if connection.refusal.endswith("client certificate") else ""
            return broken("", f"The path refuses us in the TLS handshake: {connection.refusal}{flags}.")
        if connection.foreign:
            first = printable(connection.foreign.partition(b"\r\n")[0].decode("latin-1"), 80)
            return broken("http1", f"The path does not speak HTTP/2: it answered “{first}”.")
        how = connection.ended or f"nothing came within {PATIENCE:g} s"
        return broken("silence", f"The path did not answer when we began to speak HTTP/2: {how}.")

    async def _call(self, path: Path, connection: Http2) -> Finding:
        call = path.begin(connection, UNARY, call_id=path.new_call_id(), timeout=PATIENCE)
        with trio.move_on_after(PATIENCE):
            await call.send(path.message(UNARY), end=True)
            await connection.until(lambda: call.data or call.over)
            if call.fields.get(":status") != "200":
                await call.until_over()
        fields = call.fields
        status, kind = fields.get(":status", ""), fields.get("content-type", "")
        if call.replied and status == "200":
            return survived("HTTP/2 is spoken all the way: the server answered a plain call.")
        arrived = OURS.search(call.data) if status == "505" else None
        if arrived:
            version = arrived[1].decode()
            return broken(
                "call", f"The path speaks HTTP/2 to us, but not to the server: a call reached it as {version}."
            )
        if status in REFUSALS and not call.is_grpc:
            return _not_let_in(f"HTTP {status}")
        if status and (status != "200" or not call.is_grpc):
            what = f"A plain call was answered with HTTP {status} and {printable(kind, 40) or 'no content'}"
            if status in NO_ROUTE:
                return _no_route(what)
            if status in NO_SERVER:
                return broken("no-server", f"{what}: the path does not get through to the server.")
            return broken("call", f"{what} instead of a gRPC reply.")
        if "grpc-status" in fields:
            return _failed(fields["grpc-status"], fields.get("grpc-message", ""))
        said = connection.goaways[0].debug.decode("latin-1") if connection.goaways else ""
        details = {"connection": connection.ended, "goaway": printable(said)}
        if any(sign in said for sign in PROXY_PROTOCOL):
            what = "A hop puts PROXY protocol in front of what we send, and the server behind it does not speak that"
            return broken("", f"{what}: “{printable(said, 80)}”.", details=details)
        return broken("unanswered", "A plain call was never answered.", details=details)


def _without_alpn() -> Finding:
    what = "the path agrees on no protocol in the TLS handshake (ALPN), and most gRPC clients then refuse to connect"
    return limited("alpn", f"The server answered a plain call, but {what}.")


def _failed(code: str, message: str) -> Finding:
    said = status_in_words(code, message)
    details = {"grpc_status": code}
    if code in [str(status.value) for status in NOT_LET_IN]:
        return replace(_not_let_in(said), details=details)
    if said.startswith(GATEWAY):
        what = (
            "give the server's address as TARGET and this one as --gateway, or have the path forward gRPC to the server"
        )
        return broken("no-route", f"A plain call reached the gateway instead of the server: {what}.", details=details)
    if code == str(Status.UNIMPLEMENTED.value):
        return replace(_no_route(f"A plain call failed: {said}"), details=details)
    if code == str(Status.UNAVAILABLE.value):
        what = f"A plain call failed: {said}: the path does not get through to the server."
        return broken("no-server", what, details=details)
    return broken("call", f"A plain call failed: {said}.", details=details)


def _not_let_in(answer: str) -> Finding:
    what = "asks for credentials, or does not let our address or our headers pass (--header sends a token)"
    return broken("refused", f"A plain call was answered with {answer} before the server: a hop {what}.")


def _no_route(what: str) -> Finding:
    return broken("no-route", f"{what}: no route leads to an echo server for this name (--authority sends another).")
