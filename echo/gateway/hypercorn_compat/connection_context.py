"""What all protocols and streams of a connection share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import trio
from hypercorn.config import Config
from hypercorn.events import Event
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.worker_context import WorkerContext as HypercornWorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, TaskGroup, WorkerContext

from echo.gateway.hypercorn_compat.liveness import Liveness
from echo.gateway.hypercorn_compat.outlet import Outlet
from echo.gateway.hypercorn_compat.tasks import Tasks
from echo.gateway.hypercorn_compat.timing import PATIENCE

Address = tuple[str, int] | None
Send = Callable[[Event], Awaitable[None]]


class DrainingContext(HypercornWorkerContext):
    """Hypercorn's worker context, which also tells when the drain begins: before ``terminated``, when it has ended."""

    def __init__(self, drain_begun: Callable[[], Awaitable[None]]) -> None:
        super().__init__(None)
        self.drain_begun = drain_begun


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """What all protocols and streams of a connection share.

    Attributes:
        app: The application that answers requests.
        config: Hypercorn's configuration.
        context: Hypercorn's worker context, which says when the worker stops.
        tasks: The connection's tasks.
        helpers: Tasks that are cancelled when those have ended.
        state: The lifespan state, copied into each request's scope.
        tls: Whether the connection is encrypted.
        client: The peer's address; None for a Unix socket.
        server: Our address; None for a Unix socket.
        send: Sends an event to the peer.
        outlet: Sends bytes to the peer.
        liveness: Tracks whether the peer is alive.
        note_websocket: Called when a WebSocket has been opened.
    """

    app: AppWrapper
    config: Config
    context: WorkerContext
    tasks: Tasks
    helpers: trio.Nursery
    state: ConnectionState
    tls: bool
    client: Address
    server: Address
    send: Send
    outlet: Outlet
    liveness: Liveness
    note_websocket: Callable[[], None]

    async def drain_begun(self) -> None:
        """Wait until the server starts to drain; plain Hypercorn only ends."""
        if isinstance(self.context, DrainingContext):
            await self.context.drain_begun()
        else:
            await self.context.terminated.wait()

    @property
    def dropped(self) -> str:
        """Why we have dropped the peer, in words; empty if we have not."""
        if self.liveness.silence:
            return f"dropped: the client showed no sign of life for {self.liveness.silence:g} s"
        return f"dropped: the client read nothing for {PATIENCE:g} s" if self.outlet.stuck else ""

    @property
    def _task_group(self) -> TaskGroup:
        return cast("TaskGroup", self.tasks)  # It has what Hypercorn's protocols use.

    @property
    def of_protocol(
        self,
    ) -> tuple[AppWrapper, Config, WorkerContext, TaskGroup, ConnectionState, bool, Address, Address, Send]:
        """The arguments of Hypercorn's protocol classes."""
        return (
            self.app,
            self.config,
            self.context,
            self._task_group,
            self.state,
            self.tls,
            self.client,
            self.server,
            self.send,
        )

    def http_stream(self, send: Callable[[StreamEvent], Awaitable[None]], stream_id: int) -> HTTPStream:
        """Create Hypercorn's stream for one request."""
        return HTTPStream(
            self.app,
            self.config,
            self.context,
            self._task_group,
            self.tls,
            self.client,
            self.server,
            send,
            stream_id,
        )
