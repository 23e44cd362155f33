"""Client-side health checking: a watch over ``grpc.health.v1.Health`` on one connection, for as long as it is used.

After gRPC's "Client-Side Health Checking" (proposal A17): a server that does not implement the service counts as
serving, and one whose watch breaks off as not serving, until another watch says otherwise.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import anyio
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.backoff import MAX_BACKOFF, Backoff
from echo.rpc.codec import DEFAULT_CODEC, decode
from echo.rpc.specialise import Field, upb_class
from echo.transport import ClientCall, ClientSession
from echo.wire import GRPCError, Request, Status

WATCH: Final = "/grpc.health.v1.Health/Watch"
SERVING: Final = 1

# Not betterproto's, which a program with other stubs does without. Nor grpclib's, which register with protobuf's pool
# of the whole process, where grpcio's would find their names taken.
_HealthCheckRequest: Any = upb_class("HealthCheckRequest", [Field("service", 1, "string", presence=False)])
_HealthCheckResponse: Any = upb_class("HealthCheckResponse", [Field("status", 1, "enum", presence=False)])

Tell = Callable[[bool], None]


class HealthWatch:
    """Knows whether the server at the other end of a connection serves.

    Args:
        session: The connection.
        scheme: ``http`` or ``https``.
        authority: What the server's name is taken to be.
        service: Whose health; "" for the server as a whole.
        tell: Called with whether it serves, when that is known and whenever it may have changed.
        calls: Holds the watch's own call while there is one.
    """

    def __init__(
        self, session: ClientSession, scheme: str, authority: str, service: str, tell: Tell, calls: set[ClientCall]
    ) -> None:
        self._session = session
        self._request = Request(WATCH, scheme, authority)
        self._message = _HealthCheckRequest(service=service).SerializeToString()
        self._tell = tell
        self._calls = calls

    async def run(self) -> None:
        """Watch until the connection takes no more calls, then reset the watch's call. Raises nothing."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            await self._session.retired.wait()
            tasks.cancel_scope.cancel()

    async def _watch(self) -> None:
        backoff = Backoff()
        while True:
            begun = anyio.current_time()
            status = await self._watch_once()
            if status is None or not self._session.usable:
                return
            if status is Status.UNIMPLEMENTED:
                self._tell(True)
                return
            if anyio.current_time() - begun > MAX_BACKOFF:
                backoff.succeed()  # It held for a while, and was cut by a proxy, say: ask again at once.
                continue
            self._tell(False)
            backoff.fail(anyio.current_time())
            await anyio.sleep_until(backoff.not_before)

    async def _watch_once(self) -> Status | None:
        """One call; gives how it ended, or None when the connection takes no more calls."""
        call = await self._session.open(self._request, math.inf)
        if call is None:
            return None
        self._calls.add(call)
        try:
            await call.send_message(self._message, end=True)
            while (data := await call.receive_message()) is not None:
                self._tell(decode(DEFAULT_CODEC, data, _HealthCheckResponse).status == SERVING)
        except StreamTerminatedError:
            pass  # Its trailers say why.
        except GRPCError as error:  # The reply is no sound message.
            return error.status
        finally:
            self._calls.discard(call)
            call.reset()
        return Status.UNKNOWN if call.trailers is None else call.trailers.status
