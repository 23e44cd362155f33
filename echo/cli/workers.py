"""Runs the server or the gateway in several processes: a parent, and workers.

All of them have the same command line. A process is a worker if `echo.workers.CHANNEL` is in its environment.
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
from echo.cli.listeners import open_grpc_listener, open_health_listener, open_web_listener
from echo.cli.metrics import new_meters, publish_metrics
from echo.cli.totals import Totals, collecting
from echo.settings import Settings
from echo.telemetry.tracing import open_tracing
from echo.terminal import Terminal
from echo.transport import StreamListener
from echo.workers import ParentLink, Supervisor, usable_cpus

if TYPE_CHECKING:
    from echo.telemetry.meters import Meters

__all__ = ["gateway", "serve"]


async def serve(
    command: Sequence[str],
    settings: Settings,
    stop: Stop,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the gRPC server in as many processes as the settings say, until ``stop()`` returns; then drain it.

    Args:
        command: The command line of this process, which also starts workers.
        settings: The settings.
        stop: Returns when the server should stop.
        task_status: Told when the server has started. A worker reports to its parent instead.
    """
    if (end := _inherited_channel()) is not None:
        task_status.started()
        meters = new_meters(settings)
        parent = ParentLink(end, 1 if settings.grpc_health_port is None else 2, collecting(meters))
        await _run_worker(parent, stop, partial(_serve_as_worker, settings, parent, meters))
    elif settings.workers == 1:
        await programs.serve(settings, stop, task_status=task_status)
    else:
        async with AsyncExitStack() as opened:
            listeners = [await opened.enter_async_context(await open_grpc_listener(settings, None))]
            if settings.grpc_health_port is not None:
                listeners.append(await opened.enter_async_context(await open_health_listener(settings)))
            ports = [listener.extra(SocketAttribute.local_port, None) for listener in listeners]
            async with _supervise(command, listeners, settings, stop) as metrics_port:
                task_status.started()
                announce_server(settings, *ports)
                announce_metrics(settings, metrics_port)


async def gateway(
    command: Sequence[str],
    settings: Settings,
    stop: Stop,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the gateway in the same way."""
    programs.refuse_port_zero(settings)
    if (end := _inherited_channel()) is not None:
        task_status.started()
        meters = new_meters(settings)
        parent = ParentLink(end, 1, collecting(meters))
        await _run_worker(parent, stop, partial(_serve_web_as_worker, settings, parent, meters))
    elif settings.workers == 1:
        await programs.gateway(settings, stop, task_status=task_status)
    else:
        async with (
            await open_web_listener(settings) as listener,
            _supervise(command, [listener], settings, stop) as metrics_port,
        ):
            port = listener.extra(SocketAttribute.local_port)
            task_status.started()
            announce_console(settings, port)
            announce_gateway(settings, port)
            announce_metrics(settings, metrics_port)


@asynccontextmanager
async def _supervise(
    command: Sequence[str], listeners: Sequence[StreamListener], settings: Settings, stop: Stop
) -> AsyncIterator[int | None]:
    """Run the parent until ``stop()`` returns and all workers have drained. The block begins when all workers serve.

    Yields the port that serves metrics, or None.
    """
    terminal = Terminal()
    # `Supervisor.run` reacts to it. One that comes before or after that, or that it had no time for, must not end us.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    totals = Totals()
    number, grace = settings.workers or usable_cpus(), settings.shutdown_grace
    supervisor = Supervisor(command, listeners, number, grace, totals.keep, terminal)
    async with publish_metrics(settings, partial(totals.collect, supervisor)) as port, trio.open_nursery() as nursery:
        try:
            await nursery.start(supervisor.run, stop)
        except (OSError, BaseExceptionGroup) as error:
            fault = first(OSError, error)
            if fault is None:
                raise
            reason = fault.strerror or fault
            raise StartError(f"{settings.name_of('workers')}: cannot start workers: {reason}") from error
        yield port


def _inherited_channel() -> socket.socket | None:
    """The channel to this process's parent, if it is a worker."""
    try:
        return ParentLink.inherited()
    except ValueError as error:
        raise StartError(str(error)) from None


async def _run_worker(parent: ParentLink, stop: Stop, program: Callable[[Stop], Awaitable[None]]) -> None:
    """Run a worker's program until its parent tells it to stop and it has drained. A signal makes it ask the parent."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Only the parent reacts to it.

    async def request_stop_on_signal() -> None:
        await stop()
        parent.request_stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(parent.run)
        nursery.start_soon(request_stop_on_signal)
        await program(parent.wait_for_stop)
        await parent.send_final_answer()
        nursery.cancel_scope.cancel()


async def _serve_as_worker(settings: Settings, parent: ParentLink, meters: "Meters | None", stop: Stop) -> None:
    async with (
        open_tracing(settings.shutdown_grace) as tracing,
        programs.open_backend(settings, meters, None if tracing is None else tracing.server, parent) as backend,
    ):
        parent.ready()
        await stop()
        await backend.drain(settings.shutdown_grace, others_serve=parent.others_serve)


async def _serve_web_as_worker(settings: Settings, parent: ParentLink, meters: "Meters | None", stop: Stop) -> None:
    async with open_tracing(settings.shutdown_grace) as tracing, trio.open_nursery() as nursery:
        await programs.start_gateway(nursery, settings, stop, meters, tracing, parent)
        parent.ready()
