"""The server and the gateway by several processes: what the parent does, and what each worker does.

The same command line runs all of them: a worker is told what it is by its environment (`echo.workers.CHANNEL`).
"""

import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

import trio
from anyio.abc import SocketAttribute

from echo.cli import programs
from echo.cli.announce import announce_console, announce_gateway, announce_server
from echo.cli.errors import StartError, first
from echo.cli.lifecycle import Stop
from echo.cli.places import listen, listen_for_health, listen_for_web
from echo.settings import Settings
from echo.workers import Crew, Membership, usable_cpus

__all__ = ["gateway", "serve"]


async def serve(command: Sequence[str], settings: Settings, stop: Stop) -> None:
    """Run the gRPC server until ``stop()`` returns, by as many processes as the settings say; then drain it.

    Args:
        command: The command line that this process was started by.
        settings: What to do.
        stop: Returns when it shall stop.
    """
    listeners = 1 if settings.grpc_health_port is None else 2
    membership = _membership(listeners)
    if membership is not None:
        await _work(membership, stop, partial(_serve_as_worker, settings, membership))
    elif settings.workers == 1:
        await programs.serve(settings, stop)
    else:
        async with AsyncExitStack() as opened:
            places = [await opened.enter_async_context(await listen(settings, None))]
            if settings.grpc_health_port is not None:
                places.append(await opened.enter_async_context(await listen_for_health(settings)))
            ports = [place.extra(SocketAttribute.local_port, None) for place in places]
            crew = Crew(command, places, settings.workers or usable_cpus(), settings.shutdown_grace)
            async with trio.open_nursery() as nursery:
                await _start(nursery, settings, stop, crew)
                announce_server(settings, *ports)


async def gateway(command: Sequence[str], settings: Settings, stop: Stop) -> None:
    """The same for the gateway."""
    programs.refuse_port_zero(settings)
    membership = _membership(1)
    if membership is not None:
        await _work(membership, stop, partial(_serve_web_as_worker, settings, membership))
    elif settings.workers == 1:
        await programs.gateway(settings, stop)
    else:
        async with await listen_for_web(settings) as place:
            crew = Crew(command, [place], settings.workers or usable_cpus(), settings.shutdown_grace)
            async with trio.open_nursery() as nursery:
                await _start(nursery, settings, stop, crew)
                port = place.extra(SocketAttribute.local_port)
                announce_console(settings, port)
                announce_gateway(settings, port)


async def _start(nursery: trio.Nursery, settings: Settings, stop: Stop, crew: Crew) -> None:
    """Run the parent in ``nursery``; returns when all workers serve."""
    try:
        await nursery.start(crew.run, stop)
    except (OSError, BaseExceptionGroup) as error:
        fault = first(OSError, error)
        if fault is None:
            raise
        raise StartError(f"{settings.name_of('workers')}: cannot start workers: {fault.strerror or fault}") from error


def _membership(listeners: int) -> Membership | None:
    """This process's place among workers, if it is one."""
    try:
        end = Membership.inherited()
    except ValueError as error:
        raise StartError(str(error)) from None
    return None if end is None else Membership(end, listeners)


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


async def _serve_as_worker(settings: Settings, membership: Membership, stop: Stop) -> None:
    async with programs.open_backend(settings, membership) as backend:
        membership.ready()
        await stop()
        await backend.drain(settings.shutdown_grace, others_serve=membership.retiring)


async def _serve_web_as_worker(settings: Settings, membership: Membership, stop: Stop) -> None:
    async with trio.open_nursery() as nursery:
        await programs.start_gateway(nursery, settings, stop, membership)
        membership.ready()
