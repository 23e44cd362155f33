"""What the protocols and streams of a connection are given, all of them the same."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hypercorn.config import Config
from hypercorn.events import Event
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import AppWrapper, ConnectionState, TaskGroup, WorkerContext

from echo.gateway.hypercorn_compat.liveness import Liveness
from echo.gateway.hypercorn_compat.outlet import Outlet

Address = tuple[str, int] | None
Send = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a protocol or a stream stands.

    Attributes:
        app: The application that answers requests.
        config: Hypercorn's.
        context: Of the worker: whether it ends.
        tasks: Of the connection.
        state: Copied into the scope of each request.
        tls: Whether the connection is encrypted.
        client: The peer's address; None for a Unix socket, as for the next.
        server: Ours.
        send: To the peer.
        outlet: The same, for bytes only.
        liveness: Whether the peer is there.
        note_websocket: To be called when a WebSocket has been opened.
    """

    app: AppWrapper
    config: Config
    context: WorkerContext
    tasks: TaskGroup
    state: ConnectionState
    tls: bool
    client: Address
    server: Address
    send: Send
    outlet: Outlet
    liveness: Liveness
    note_websocket: Callable[[], None]

    @property
    def of_protocol(
        self,
    ) -> tuple[AppWrapper, Config, WorkerContext, TaskGroup, ConnectionState, bool, Address, Address, Send]:
        """What Hypercorn's protocols are made with."""
        return (
            self.app,
            self.config,
            self.context,
            self.tasks,
            self.state,
            self.tls,
            self.client,
            self.server,
            self.send,
        )

    def http_stream(self, send: Callable[[StreamEvent], Awaitable[None]], stream_id: int) -> HTTPStream:
        """Hypercorn's side of one request."""
        return HTTPStream(
            self.app,
            self.config,
            self.context,
            self.tasks,
            self.tls,
            self.client,
            self.server,
            send,
            stream_id,
        )
