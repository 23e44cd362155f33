"""What echo serves: the echo services themselves, health, and reflection of them all. They know nothing of HTTP/2."""

from dataclasses import dataclass
from importlib.resources import files

from echo.rpc import Servable
from echo.rpc.health import Health
from echo.rpc.reflection import reflection
from echo.services.streaming import StreamingEchoService
from echo.services.unary import EchoService

__all__ = ["EchoService", "EchoServices", "StreamingEchoService", "echo_services"]


@dataclass(frozen=True)
class EchoServices:
    """Everything to serve.

    Attributes:
        services: For `echo.rpc.Server`; ``health`` is among them.
        health: To be told of a drain.
    """

    services: list[Servable]
    health: Health


def echo_services() -> EchoServices:
    """The echo services with their health, all SERVING, and reflection."""
    echoes: list[Servable] = [EchoService(), StreamingEchoService()]
    health = Health(echoes)
    descriptors = files("echo.pb").joinpath("descriptors.binpb").read_bytes()
    return EchoServices([*echoes, health, *reflection([*echoes, health], descriptors, until=health.drained)], health)
