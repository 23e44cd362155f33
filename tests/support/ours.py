"""Our server with all its services, for third-party clients."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from echo.rpc import Limits, Server
from echo.rpc.health import Health
from echo.services import echo_services
from tests.support.leaks import no_leaks
from tests.support.recording import Recorder
from tests.support.serving import serving
from tests.support.tls import serving_tls


class Ours:
    """The server.

    Attributes:
        server: It.
        health: Its health.
        recorder: What its test methods saw.
        port: Where it listens.
    """

    port: int

    def __init__(self, limits: Limits) -> None:
        echo = echo_services()
        self.health: Health = echo.health
        self.recorder = Recorder()
        self.server = Server([*echo.services, self.recorder], limits=limits)


@asynccontextmanager
async def our_server(
    context: ssl.SSLContext | None = None, *, max_concurrent_streams: int = 100, descriptors: bool = True
) -> AsyncIterator[Ours]:
    """Run the server while the block runs, and check that it leaks nothing. ``descriptors`` as in `no_leaks`."""
    ours = Ours(Limits(max_concurrent_streams=max_concurrent_streams))
    async with (
        no_leaks(descriptors=descriptors) as leaks,
        serving(ours.server) if context is None else serving_tls(ours.server, context) as ours.port,
    ):
        leaks.watch(ours.server)
        yield ours
