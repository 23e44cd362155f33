"""ASGI scopes, for what needs no server."""

from collections.abc import Iterable

from hypercorn.typing import ConnectionState, HTTPScope


def http_scope(target: str = "/", headers: Iterable[tuple[bytes, bytes]] = ()) -> HTTPScope:
    """Of a GET over HTTP/1.1."""
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": ConnectionState({}),
        "extensions": {},
    }
