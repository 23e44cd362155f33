"""The gateway: HTTP and WebSockets in front, one gRPC channel behind. The only room that knows Quart.

``app`` is the application for ``hypercorn --worker-class trio echo.gateway:app``, with settings from the environment.
"""

import sys
from typing import TYPE_CHECKING

from echo.gateway.app import Gateway, create_app
from echo.gateway.server import serve_gateway
from echo.settings import SettingsError, load_settings

if TYPE_CHECKING:
    app: Gateway

__all__ = ["Gateway", "app", "create_app", "serve_gateway"]


def __getattr__(name: str) -> Gateway:
    """Make ``app`` when it is asked for, and only then: importing the package reads no environment."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        made = create_app(load_settings())
    except SettingsError as error:
        print(f"echo: {error}", file=sys.stderr)  # noqa: T201 - the one line a person gets
        raise SystemExit(2) from None
    globals()["app"] = made
    return made
