"""What the parts of the gateway share: its settings, its backend, and what it is working on.

The application makes it and hands it to whoever needs it, so that nobody has to know the application.
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
        settings: What it was made with.
        access_log: Where requests and WebSockets are told of when they are over; None for nowhere.
        recorder: What it has seen of requests that asked to be recorded.
        drain: What it is working on, and whether it is going down.
        tracing: Who records requests as traces; None for nobody.
        web: Counts requests and WebSockets; None for nothing.
        backend: The gRPC server; there while the application is served, so whenever a request is.
    """

    settings: Settings
    access_log: AccessLog | None = None
    recorder: GatewayRecorder = field(default_factory=GatewayRecorder)
    drain: Drain = field(default_factory=Drain)
    tracing: GatewayTracing | None = None
    web: "WebMeter | None" = None
    backend: Backend = field(init=False)
