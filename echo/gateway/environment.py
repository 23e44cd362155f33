"""The application for an ASGI server's command line: ``hypercorn --worker-class trio echo.gateway:app``."""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cached_property, partial

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope

from echo.gateway.application import Gateway, create_app
from echo.gateway.hypercorn_compat import UnsupportedVersionError
from echo.gateway.tracing import GatewayTracing
from echo.logs import asks_for_json, refuse
from echo.settings import SettingsError, User, load_settings
from echo.telemetry.tracing import open_tracing

log = logging.getLogger(__name__)

REFUSED = 2  # The exit status for invalid settings.


class EnvironmentApp:
    """The gateway with the settings of the environment, created when a server first uses it, not when imported.

    Hypercorn looks ``app`` up in the module's dictionary, so a module's ``__getattr__`` is never called. But before it
    starts anything, it reads the application's ``__call__`` to tell ASGI from WSGI; the gateway is created then.
    """

    @cached_property
    def gateway(self) -> Gateway:
        """The application itself.

        Raises:
            SystemExit: A setting is invalid or a package unsupported; one line on standard error has named it.
        """
        try:
            settings = load_settings(os.environ, User.GATEWAY)
            for note in settings.notes:
                log.log(logging.getLevelNamesMapping()[note.level.upper()], note.text)
            if settings.metrics_port is not None:
                log.warning("METRICS_PORT is ignored: run `echo-grpc gateway` for metrics")
            return create_app(settings, open_tracing=partial(_open_tracing, settings.shutdown_grace))
        except (SettingsError, UnsupportedVersionError) as error:
            refuse(str(error), as_json=asks_for_json())
            raise SystemExit(REFUSED) from None

    @property
    def __call__(self) -> Callable[[Scope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]:
        """The ASGI application."""
        return self.gateway.__call__


@asynccontextmanager
async def _open_tracing(grace: float) -> AsyncIterator[GatewayTracing | None]:
    async with open_tracing(grace) as tracing:
        yield None if tracing is None else tracing.gateway
