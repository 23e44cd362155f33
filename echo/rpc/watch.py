"""Client-side health checking: a ``grpc.health.v1.Health`` watch on one connection while it is in use.

Follows gRPC's "Client-Side Health Checking" (proposal A17): a server without the service counts as serving; a server
whose watch fails counts as not serving until another watch says otherwise.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import anyio
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.backoff import MAX_BACKOFF, Backoff
from echo.rpc.codec import decode
from echo.transport import ClientCall, ClientSession
from echo.wire import GRPCError, Request, Status

WATCH: Final = "/grpc.health.v1.Health/Watch"
SERVING: Final = 1


# Neither betterproto's classes, which programs with other stubs do not install, nor grpclib's, which register with
# protobuf's process-wide pool and would clash with grpcio's classes of the same names.
@cache
def _messages() -> tuple[Any, Any]:
    """The classes of request and response; made when they are needed, as protobuf takes a while to load."""
    from echo.rpc.specialise import Field, upb_class  # noqa: PLC0415

    request = upb_class("HealthCheckRequest", [Field("service", 1, "string", presence=False)])
    return request, upb_class("HealthCheckResponse", [Field("status", 1, "enum", presence=False)])


OnStatus = Callable[[bool], None]


async def watch_health(
    session: ClientSession, scheme: str, authority: str, service: str, on_status: OnStatus, calls: set[ClientCall]
) -> None:
    """Watch until the connection accepts no more calls, then reset the watch's call. Raises nothing.

    Args:
        session: The connection.
        scheme: ``http`` or ``https``.
        authority: The server's name, for ``:authority``.
        service: The service to watch; "" for the server as a whole.
        on_status: Called with whether it is serving, once that is known and whenever it may have changed.
        calls: Holds the watch's own call while that is open.
    """
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, session, Request(WATCH, scheme, authority), service, on_status, calls)
        await session.retired.wait()
        tasks.cancel_scope.cancel()


async def _watch(
    session: ClientSession, request: Request, service: str, on_status: OnStatus, calls: set[ClientCall]
) -> None:
    backoff = Backoff()
    while True:
        started = anyio.current_time()
        status = await _watch_once(session, request, service, on_status, calls)
        if status is None or not session.usable:
            return
        if status is Status.UNIMPLEMENTED:
            on_status(True)
            return
        if anyio.current_time() - started > MAX_BACKOFF:
            backoff.succeed()  # The watch had held for a while; a proxy may have cut it. Watch again at once.
            continue
        on_status(False)
        backoff.fail(anyio.current_time())
        await anyio.sleep_until(backoff.not_before)


async def _watch_once(
    session: ClientSession, request: Request, service: str, on_status: OnStatus, calls: set[ClientCall]
) -> Status | None:
    """Make one Watch call. Returns its final status, or None if the connection accepts no more calls."""
    call = await session.open(request, math.inf)
    if call is None:
        return None
    question, answer = _messages()
    calls.add(call)
    try:
        await call.send_message(question(service=service).SerializeToString(), end=True)
        while (data := await call.receive_message()) is not None:
            on_status(decode(answer.FromString, data, answer).status == SERVING)
    except StreamTerminatedError:
        pass  # The trailers say why.
    except GRPCError as error:  # The reply is invalid.
        return error.status
    finally:
        calls.discard(call)
        call.reset()
    return Status.UNKNOWN if call.trailers is None else call.trailers.status
