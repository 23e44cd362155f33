"""A line in the log for each call, by grpclib's events. At debug level: it costs about as much as a short call."""

import time
from typing import TYPE_CHECKING

import anyio
import structlog
from grpclib.const import Status
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError

from echo.rpc import Server

if TYPE_CHECKING:
    from grpclib.server import Stream  # Only the type: at run time it would bring asyncio's server in.

__all__ = ["log_calls"]

log = structlog.get_logger(__name__)


def log_calls(server: Server) -> None:
    """Log each call to ``server`` as its handler ends: method, peer, seconds, and what the handler made of it.

    The outcome is a gRPC status, or ``cancelled`` when the client left, the deadline passed or the server stops.
    """
    listen(server, RecvRequest, _wrap)


async def _wrap(event: RecvRequest) -> None:
    handle, method, peer = event.method_func, event.method_name, str(event.peer)

    async def logged(stream: "Stream[object, object]") -> None:
        started, outcome = time.perf_counter(), Status.OK.name
        try:
            await handle(stream)
        except GRPCError as error:
            outcome = error.status.name
            raise
        except anyio.get_cancelled_exc_class():
            outcome = "cancelled"
            raise
        except BaseException:
            outcome = Status.INTERNAL.name
            raise
        finally:
            seconds = round(time.perf_counter() - started, 6)
            log.debug("call", method=method, peer=peer, seconds=seconds, outcome=outcome)

    event.method_func = logged
