"""The route that served a request, for metrics and traces: its template, of which there are few, not its path."""

import re
from functools import cache
from typing import Final, cast

from hypercorn.typing import HTTPScope
from quart.wrappers import Request, Websocket

__all__ = ["RPC_ROUTE", "note_route", "noted_route", "template_of"]

RPC_ROUTE: Final = "/{service}/{method}"
"""The route of gRPC-Web and Connect calls."""

_KEY: Final = "echo.route"
_PARAMETER: Final = re.compile(r"<(?:[^:<>]*:)?([^<>]+)>")


def note_route(scope: HTTPScope, template: str) -> None:
    """Note in the scope which route serves the request."""
    cast("dict[str, object]", scope["extensions"])[_KEY] = template


def noted_route(scope: HTTPScope) -> str:
    """The route noted in the scope; empty if no route has the path."""
    return str(scope["extensions"].get(_KEY, ""))


def template_of(request: Request | Websocket) -> str:
    """The template of the route that Quart has found, such as ``/grpc/{key}``; empty if there is none."""
    return "" if request.url_rule is None else _template(request.url_rule.rule)


@cache
def _template(rule: str) -> str:
    return _PARAMETER.sub(r"{\1}", rule)
