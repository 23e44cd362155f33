"""The server and the gateway by several processes: what the parent does, and what each worker does.

The same command line runs all of them: a worker is told what it is by its environment (`echo.workers.CHANNEL`).
"""

import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from anyio.abc import SocketAttribute

from echo.cli import programs
from echo.cli.announce import announce_console, announce_gateway, announce_metrics, announce_server
from echo.cli.errors import StartError, first
from echo.cli.lifecycle import Stop
from echo.cli.metrics import new_meters, publish_metrics
from echo.cli.places import listen, listen_for_health, listen_for_web
from echo.cli.totals import Totals, collecting
from echo.settings import Settings
from echo.telemetry.tracing import open_tracing
from echo.transport import StreamListener
from echo.workers import Crew, Membership, usable_cpus

if TYPE_CHECKING:
    from echo.telemetry.meters import Meters

__all__ = ["gateway", "serve"]


async def serve(command: Sequence[str], settings: Settings, stop: Stop) -> None:
    """Run the gRPC server until ``stop()`` returns, by as many processes as the settings say; then drain it.

    Args:
        command: The command line that this process was started by.
        settings: What to do.
        stop: Returns when it shall stop.
    """
    if (end := _inherited()) is not None:
        meters = new_meters(settings)
        membership = Membership(end, 1 if settings.grpc_health_port is None else 2, collecting(meters))
        await _work(membership, stop, partial(_serve_as_worker, settings, membership, meters))
    elif settings.workers == 1:
        await programs.serve(settings, stop)
    else:
        async with AsyncExitStack() as opened:
            places = [await opened.enter_async_context(await listen(settings, None))]
            if settings.grpc_health_port is not None:
                places.append(await opened.enter_async_context(await listen_for_health(settings)))
            ports = [place.extra(SocketAttribute.local_port, None) for place in places]
            async with _crew(command, places, settings, stop) as metrics_port:
                announce_server(settings, *ports)
                announce_metrics(settings, metrics_port)


async def gateway(command: Sequence[str], settings: Settings, stop: Stop) -> None:
    """The same for the gateway."""
    programs.refuse_port_zero(settings)
    if (end := _inherited()) is not None:
        meters = new_meters(settings)
        membership = Membership(end, 1, collecting(meters))
        await _work(membership, stop, partial(_serve_web_as_worker, settings, membership, meters))
    elif settings.workers == 1:
        await programs.gateway(settings, stop)
    else:
        async with (
            await listen_for_web(settings) as place,
            _crew(command, [place], settings, stop) as metrics_port,
        ):
            port = place.extra(SocketAttribute.local_port)
            announce_console(settings, port)
            announce_gateway(settings, port)
            announce_metrics(settings, metrics_port)


@asynccontextmanager
async def _crew(
    command: Sequence[str], places: Sequence[StreamListener], settings: Settings, stop: Stop
) -> AsyncIterator[int | None]:
    """Run the parent until ``stop()`` returns and all workers have drained; the block runs when all of them serve.

    Gives the port where metrics are shown, if they are.
    """
    totals = Totals()
    crew = Crew(command, places, settings.workers or usable_cpus(), settings.shutdown_grace, totals.keep)
    async with publish_metrics(settings, partial(totals.collect, crew)) as port, trio.open_nursery() as nursery:
        try:
            await nursery.start(crew.run, stop)
        except (OSError, BaseExceptionGroup) as error:
            fault = first(OSError, error)
            if fault is None:
                raise
            reason = fault.strerror or fault
            raise StartError(f"{settings.name_of('workers')}: cannot start workers: {reason}") from error
        yield port


def _inherited() -> socket.socket | None:
    """The way to this process's parent, if it is a worker."""
    try:
        return Membership.inherited()
    except ValueError as error:
        raise StartError(str(error)) from None


async def _work(membership: Membership, stop: Stop, program: Callable[[Stop], Awaitable[None]]) -> None:
    """Run a worker's program until its parent tells it to stop, and it has drained. A signal has it ask for that."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # It is for the parent.

    async def leave_when_asked_to() -> None:
        await stop()
        membership.leave()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(membership.run)
        nursery.start_soon(leave_when_asked_to)
        await program(membership.stop)
        await membership.say_last()
        nursery.cancel_scope.cancel()


async def _serve_as_worker(settings: Settings, membership: Membership, meters: "Meters | None", stop: Stop) -> None:
    async with (
        open_tracing(settings.shutdown_grace) as tracing,
        programs.open_backend(settings, meters, None if tracing is None else tracing.server, membership) as backend,
    ):
        membership.ready()
        await stop()
        await backend.drain(settings.shutdown_grace, others_serve=membership.retiring)


async def _serve_web_as_worker(settings: Settings, membership: Membership, meters: "Meters | None", stop: Stop) -> None:
    async with open_tracing(settings.shutdown_grace) as tracing, trio.open_nursery() as nursery:
        await programs.start_gateway(nursery, settings, stop, meters, tracing, membership)
        membership.ready()
