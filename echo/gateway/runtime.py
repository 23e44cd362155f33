"""What the parts of the gateway share: settings, backend, and work in progress.

The application creates it and passes it to its parts, so that they need not know the application.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from echo.access_log import AccessLog
from echo.gateway.backend import Backend
from echo.gateway.drain import Drain
from echo.gateway.evidence import GatewayRecorder
from echo.gateway.tracing import GatewayTracing
from echo.settings import Settings

if TYPE_CHECKING:
    from echo.telemetry.web import WebMeter

__all__ = ["Runtime"]


@dataclass(eq=False, slots=True)
class Runtime:
    """One gateway.

    Attributes:
        settings: The settings.
        access_log: Gets a line for each request and WebSocket when it ends; None for no lines.
        recorder: Keeps the records of requests with a call-id.
        drain: Work in progress, and whether the gateway is draining.
        tracing: Records requests as traces; None for no traces.
        web: Counts requests and WebSockets; None for no counts.
        backend: The channels to the gRPC server; set while the application is served.
    """

    settings: Settings
    access_log: AccessLog | None = None
    recorder: GatewayRecorder = field(default_factory=GatewayRecorder)
    drain: Drain = field(default_factory=Drain)
    tracing: GatewayTracing | None = None
    web: "WebMeter | None" = None
    backend: Backend = field(init=False)
