"""The services of the echo server: the echo services, evidence of their calls, health, and reflection for all.

They know nothing about HTTP/2.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from echo.extras import needs
from echo.rpc import Limits, Servable
from echo.rpc.observed_service import ObservedService
from echo.rpc.reflection import reflection

with needs("betterproto", part="echo.services"):
    from echo.evidence import Recorder
    from echo.rpc.health import Health
    from echo.scripting import PREFIX
    from echo.services.evidence import EvidenceService
    from echo.services.interop import interop_services
    from echo.services.padding import pad
    from echo.services.protobuf import Messages
    from echo.services.scripted import Scripting
    from echo.services.streaming import StreamingEchoService, scripted_server_stream
    from echo.services.unary import EchoService

__all__ = ["EchoService", "EchoServices", "StreamingEchoService", "echo_services"]


@dataclass(frozen=True)
class EchoServices:
    """All services.

    Attributes:
        services: For `echo.rpc.Server`; they include ``health``.
        health: Its `drain` must be called when the server drains.
    """

    services: list[Servable]
    health: Health


SERVER_STREAM: Final = "/com.gopay.echo.streaming.StreamingServer/ServerStream"
MAX_SIZE: Final = Limits().max_message_size


def echo_services(*, scripting: bool = True, interop: bool = False, max_message_size: int = MAX_SIZE) -> EchoServices:
    """The echo services with their health, all SERVING, the evidence of their calls, and reflection.

    Args:
        scripting: Whether callers may script calls and have them recorded.
        interop: Whether to add the services of public test suites.
        max_message_size: The largest response that callers may ask for, in bytes.
    """
    recorder = Recorder()
    echoes: list[Servable] = [EchoService(), StreamingEchoService()]
    if scripting:
        observer_for = Scripting(recorder, max_message_size, {SERVER_STREAM: scripted_server_stream}, pad)
        echoes = [ObservedService(service, PREFIX, observer_for) for service in echoes]
    descriptors = files("echo.pb").joinpath("descriptors.binpb").read_bytes()
    messages = Messages(descriptors)
    echoes.append(EvidenceService(recorder, messages))
    if interop:
        echoes += interop_services(messages, max_message_size)
    health = Health(echoes)
    return EchoServices([*echoes, health, *reflection([*echoes, health], descriptors, until=health.drained)], health)
