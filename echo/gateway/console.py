"""The console: a page at ``/`` that shows in a browser what happens to gRPC and WebSockets on the way to this gateway.

The page consists of static files in ``console_page``, read when the application is created and served from a fixed
table: nothing in a request is ever used as a path. It loads nothing from other sites and runs nothing inline, and its
Content-Security-Policy (CSP Level 3) makes the browser enforce that. ``main.js`` explains what the page does.

Its links are relative, so it also works below a path prefix that a proxy strips. If the proxy reports the prefix in
``X-Forwarded-Prefix``, the links contain it, and the page's own address needs no slash at the end.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.resources import files
from typing import Final

import msgspec
from quart import Quart, Response, request

from echo.advice import read_advice, read_messages

HTML: Final = "text/html; charset=utf-8"
CSS: Final = "text/css; charset=utf-8"
SCRIPT: Final = "text/javascript; charset=utf-8"
JSON: Final = "application/json"

_SCRIPTS: Final = (
    *("burst", "close", "figures", "format", "http", "log", "main", "measures", "page", "plot", "reach", "routes"),
    *("session", "settings", "trace", "unary"),
    # "Check this path": loaded on demand.
    *("check/facts", "check/finding", "check/grpc_web", "check/ladder", "check/only_here", "check/panel", "check/path"),
    *("check/rhythm", "check/save", "check/sizes", "check/socket", "check/survey", "check/table", "check/talk"),
    *("check/time", "check/view", "check/words"),
    *("check/checks/balancing", "check/checks/bidirectional", "check/checks/cancel", "check/checks/deadline"),
    *("check/checks/early-end", "check/checks/half-close", "check/checks/http-status", "check/checks/message-size"),
    *("check/checks/metadata", "check/checks/request-streaming", "check/checks/response-streaming"),
    *("check/checks/retries", "check/checks/status", "check/checks/stream-duration", "check/checks/stream-idle"),
    *("check/checks/stream-size", "check/checks/trailers", "check/checks/ws-cancel", "check/checks/ws-close"),
    *("check/checks/ws-compression", "check/checks/ws-http2", "check/checks/ws-idle", "check/checks/ws-messages"),
    *("check/checks/ws-upgrade",),
)

FILES: Final[dict[str, tuple[str, str]]] = {
    "/": ("index.html", HTML),
    "/console/console.css": ("console.css", CSS),
    "/console/check/check.css": ("check/check.css", CSS),
    **{f"/console/{name}.js": (f"{name}.js", SCRIPT) for name in _SCRIPTS},
}
"""The files of the page by URL path: the name in ``console_page`` and the content type."""

ADVICE: Final = "/console/check/advice.json"
"""Where the page finds the advice by check and cause, and by what hops say; the same as the command line's."""

# 'self' for connect-src covers WebSockets to the same host and port too (CSP Level 3 §6.7.2.8).
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # Cached, but revalidated each time (a 304), so that a new release shows at once.
}


LINK: Final = b'="console/'
"""How the links of the page to its files begin."""

PREFIX: Final = "x-forwarded-prefix"

# Segments of unreserved and percent-encoded characters (RFC 3986 §3.3), none of them only dots: nothing in it has a
# meaning in HTML, and it cannot name another host.
_PATH: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))(?:[\w.~-]|%[0-9A-Fa-f]{2})+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the page.

    Attributes:
        content: Its bytes.
        content_type: The content type.
        etag: The entity tag (RFC 9110 §8.8.3), without quotes; it changes with the content.
    """

    content: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, content_type: str) -> "_File":
        return cls(content, content_type, sha256(content).hexdigest()[:32])

    def below(self, prefix: str) -> "_File":
        """The page with this prefix in its links, so that they work from any address."""
        return _File.of(self.content.replace(LINK, f'="{prefix}/console/'.encode()), self.content_type)


def add_console(app: Quart) -> None:
    """Add the page to the application.

    Raises:
        OSError: A file of the page is missing, so the installation is broken.
    """
    folder = files("echo.gateway") / "console_page"
    for path, (name, content_type) in FILES.items():
        content = (folder / name).read_bytes()
        file = _File.of(content, content_type)
        app.add_url_rule(path, f"console {name}", partial(_serve, file))
    advice = _File.of(msgspec.json.encode({"causes": read_advice(), "messages": read_messages()}), JSON)
    app.add_url_rule(ADVICE, "console advice", partial(_serve, advice))


def prefix_of(values: Iterable[str]) -> str:
    """The path prefix that proxies have stripped, from ``X-Forwarded-Prefix``; empty if missing or invalid.

    Args:
        values: The header's values. Each proxy adds what it stripped, the outermost first.
    """
    parts = [part.strip().rstrip("/") for value in values for part in value.split(",")]
    return "".join(parts) if all(map(_PATH.fullmatch, parts)) else ""


async def _serve(file: _File) -> Response:
    """Return the file, or 304 if the browser has it already (RFC 9110 §13.1.2)."""
    has_links = LINK in file.content
    if has_links and (prefix := prefix_of(request.headers.getlist(PREFIX))):
        file = file.below(prefix)
    if request.if_none_match.contains_weak(file.etag):
        response = Response(b"", 304)
        response.headers.remove("content-type")
    else:
        response = Response(file.content, content_type=file.content_type)
    response.set_etag(file.etag)
    response.headers.update(HEADERS)
    if has_links:
        response.vary.add(PREFIX)
    return response
