"""The console: a page at ``/`` that shows in a browser what becomes of gRPC and WebSockets on the way to this gateway.

The page is a handful of static files in ``console_page``, read when the application is made and served from a fixed
table: nothing in a request is ever used as a path. It takes nothing from elsewhere and runs nothing inline, which its
Content-Security-Policy (CSP Level 3) has the browser enforce. What the page does is told in its ``main.js``.
"""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.resources import files
from typing import Final

from quart import Quart, Response, request

HTML: Final = "text/html; charset=utf-8"
CSS: Final = "text/css; charset=utf-8"
SCRIPT: Final = "text/javascript; charset=utf-8"

FILES: Final[dict[str, tuple[str, str]]] = {
    "/": ("index.html", HTML),
    "/console/console.css": ("console.css", CSS),
    "/console/burst.js": ("burst.js", SCRIPT),
    "/console/close.js": ("close.js", SCRIPT),
    "/console/format.js": ("format.js", SCRIPT),
    "/console/http.js": ("http.js", SCRIPT),
    "/console/log.js": ("log.js", SCRIPT),
    "/console/main.js": ("main.js", SCRIPT),
    "/console/measures.js": ("measures.js", SCRIPT),
    "/console/plot.js": ("plot.js", SCRIPT),
    "/console/session.js": ("session.js", SCRIPT),
    "/console/settings.js": ("settings.js", SCRIPT),
}
"""Where each file of the page is found: the URL's path, the name in ``console_page``, the content type."""

# 'self' for connect-src covers WebSockets to the same host and port too (CSP Level 3 §6.7.2.8).
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # Kept, but asked for again each time (a 304), so that a new release shows at once.
}


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the page.

    Attributes:
        content: Its bytes.
        content_type: What they are.
        etag: Changes when they do (RFC 9110 §8.8.3), without the quotes.
    """

    content: bytes
    content_type: str
    etag: str


def add_console(app: Quart) -> None:
    """Give the application the page.

    Raises:
        OSError: A file of the page is missing; the installation is broken.
    """
    folder = files("echo.gateway") / "console_page"
    for path, (name, content_type) in FILES.items():
        content = (folder / name).read_bytes()
        file = _File(content, content_type, sha256(content).hexdigest()[:32])
        app.add_url_rule(path, f"console {name}", partial(_serve, file))


async def _serve(file: _File) -> Response:
    """The file, or 304 if the browser has it already (RFC 9110 §13.1.2)."""
    if request.if_none_match.contains_weak(file.etag):
        response = Response(b"", 304)
        response.headers.remove("content-type")
    else:
        response = Response(file.content, content_type=file.content_type)
    response.set_etag(file.etag)
    response.headers.update(HEADERS)
    return response
