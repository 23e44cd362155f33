"""The server: accepts connections, serves their calls, and drains."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.abc import ByteStream, Listener, SocketAttribute, TaskStatus
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase

from echo.rpc.arguments import check_connections, checked_codec
from echo.rpc.dispatch import Dispatcher
from echo.rpc.events import ServerEvents
from echo.rpc.interceptors import ServerInterceptor
from echo.rpc.register import Notes, Register, Taker
from echo.rpc.servable import Servable
from echo.rpc.tracing import ServerTracing
from echo.rpc.unsupported import refusing
from echo.transport import (
    Keepalive,
    RefusalLog,
    ServerSession,
    ServingListener,
    Signal,
    Tally,
    TlsContext,
    open_background,
    open_tcp_listener,
)
from echo.wire import Limits, Status, Trailers, known_encoding

if TYPE_CHECKING:
    import grpc

    from echo.access_log import AccessLog  # It loads msgspec, which takes an eighth of the time to import echo.rpc.

log = logging.getLogger(__name__)

_SERVE = "it serves listeners, such as 'await tasks.start(server.serve, await open_tcp_listener(host, port))'"
_DRAIN = "use 'await server.drain(grace)', or cancel 'server.serve'"
_INSTEAD: Final = {
    "add_insecure_port": _SERVE,
    "add_secure_port": f"{_SERVE}, with 'tls=' for TLS",
    "start": _SERVE,
    "close": _DRAIN,
    "stop": _DRAIN,
    "wait_closed": "'server.serve' returns when the server is done",
    "wait_for_termination": "'server.serve' returns when the server is done",
}

UNWIND = 1.0  # Seconds that cancelled handlers have to clean up before their connection is closed.


class Server:
    """Serves grpclib-style services on any number of listeners and connections.

    ``grpclib.events.listen(server, RecvRequest, callback)`` and the like work on it.

    Args:
        services: The services to serve.
        codec: Encodes and decodes messages. By default, any class with ``SerializeToString`` and ``FromString`` works.
        status_details_codec: Encodes `GRPCError.details` other than bytes.
        limits: The limits of each connection.
        keepalive: When to send PINGs on a silent connection; None for never.
        compression: How to compress replies to clients that accept it: ``gzip``, or None for not at all.
        access_log: Gets a line for each call that has ended; None, the default, costs nothing.
        interceptors: Contexts around every call, the outermost first; see `echo.rpc.interceptors`.
        tracing: Records the calls as traces; None, the default, costs nothing.
        notes: Take note of calls, besides the access log: as they end, or, as a `Taker`, several at a time.

    Attributes:
        tally: Counts its connections.
        register: Its calls; None if nobody takes note of them.

    Raises:
        TypeError: An argument is of another class.
        ValueError: The compression is unknown, or observed services have different prefixes.
    """

    def __init__(
        self,
        services: Iterable[Servable],
        *,
        codec: CodecBase | None = None,
        status_details_codec: StatusDetailsCodecBase | None = None,
        limits: Limits = Limits(),
        keepalive: Keepalive | None = None,
        compression: str | None = None,
        access_log: "AccessLog | None" = None,
        interceptors: Sequence[ServerInterceptor] = (),
        tracing: ServerTracing | None = None,
        notes: Sequence[Notes | Taker] = (),
    ) -> None:
        check_connections(limits, keepalive)
        self.__dispatch__: ServerEvents = ServerEvents()
        self._dispatcher = Dispatcher(
            services,
            checked_codec(codec),
            status_details_codec,
            self.__dispatch__,
            known_encoding(compression),
            interceptors,
        )
        self._limits = limits
        self._keepalive = keepalive
        self._sessions: dict[ServerSession, anyio.CancelScope] = {}
        self._receptions: dict[anyio.CancelScope, Listener[ByteStream]] = {}
        self._draining = False
        self._refusals = RefusalLog(log)
        self.tally: Tally = Tally()
        self.register: Register | None = None
        if access_log is not None:
            from echo.rpc.access import AccessNotes  # noqa: PLC0415 - Only for those who want it; see above.

            notes = [AccessNotes(access_log), *notes]
        if notes or tracing is not None:
            self.register = Register(notes, None if tracing is None else tracing.serving(self._dispatcher.handlers))
        self._session_ended = Signal()

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """Serve a servicer in grpcio's style; called by ``add_XServicer_to_server``, as generated for grpcio.

        Args:
            service_name: The service's name.
            method_handlers: grpcio's ``RpcMethodHandler``s by method name.
        """
        from echo.rpc.grpcio_style import Servicer  # noqa: PLC0415 - Only its users have grpcio.

        self._dispatcher.add(Servicer({f"/{service_name}/{name}": found for name, found in method_handlers.items()}))

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable["grpc.GenericRpcHandler"]) -> None:
        """Serve what grpcio's generic handlers serve; also called by ``add_XServicer_to_server``.

        Args:
            generic_rpc_handlers: Asked in this order for the method of each call that is not known by name.
        """
        from echo.rpc.grpcio_style import add_generic_handlers  # noqa: PLC0415

        add_generic_handlers(self._dispatcher, generic_rpc_handlers)

    if not TYPE_CHECKING:  # A type checker is to know that they are missing.
        __getattr__ = refusing("Server", _INSTEAD)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._sessions)

    @property
    def calls(self) -> int:
        """How many handlers are running."""
        return sum(session.calls for session in self._sessions)

    @property
    def methods(self) -> Sequence[str]:
        """The methods it serves, as ``/package.Service/Method``."""
        return self._dispatcher.methods

    def refused_calls(self) -> dict[str, int]:
        """How many calls were refused with RST_STREAM REFUSED_STREAM, by reason."""
        together = Tally(refused_calls=dict(self.tally.refused_calls))
        for session in self._sessions:
            _count_refused(session, together)
        return together.refused_calls

    async def serve(
        self, listener: Listener[ByteStream], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept and serve connections until drained, then return; closes the listener.

        Cancelling it cancels every handler and closes every connection at once. It has started
        (``task_status.started()``) as soon as it accepts connections. Errors of one connection affect neither the
        others nor the caller.
        """
        async with open_background() as connections, listener:
            task_status.started()
            if self._draining:
                return
            reception = anyio.CancelScope()
            self._receptions[reception] = listener
            if isinstance(listener, ServingListener):
                listener.tally = self.tally
            try:
                with reception:
                    await listener.serve(self.serve_connection, connections)
            finally:
                del self._receptions[reception]
                self._session_ended.set()

    async def serve_connection(self, stream: ByteStream) -> None:
        """Serve one connection until it ends; closes the stream. Cancelling it cancels its handlers."""
        dispatcher = self._dispatcher
        session = ServerSession(
            stream,
            dispatcher,
            self._limits,
            self._keepalive,
            self._refusals,
            None if dispatcher.observed_prefix is None else dispatcher.observer_for,
            self.tally,
            self.register,
        )
        with anyio.CancelScope() as scope:
            self._sessions[session] = scope
            if self._draining:
                session.drain()
            try:
                await session.run()
            except Exception:
                # A bug of ours in one connection must not end the others.
                log.exception("connection of %s failed", session.peer)
            finally:
                if self.register is not None:
                    self.register.flush()
                _count_refused(session, self.tally)
                del self._sessions[session]
                self._session_ended.set()

    async def drain(self, grace: float) -> None:
        """Stop gracefully: accept nothing new, wait for running calls, and return when no connection is left.

        Args:
            grace: Seconds that running calls have to finish. Then they are cancelled, and end with UNAVAILABLE. TLS
                handshakes may be completed in the same time; after it, their connections are closed.

        Cancelling the drain only stops waiting; cancel `serve` to end everything at once.
        """
        self._draining = True
        for reception, listener in self._receptions.items():
            if isinstance(listener, ServingListener):
                listener.retire()
            else:
                reception.cancel()
        for session in self._sessions:
            session.drain()
        with anyio.move_on_after(grace):
            await self._empty()
        for reception in self._receptions:
            reception.cancel()
        for session in list(self._sessions):
            session.cancel_calls(Trailers(Status.UNAVAILABLE, "the server is shutting down"))
        with anyio.move_on_after(UNWIND):
            await self._empty()
        for scope in self._sessions.values():
            scope.cancel()
        await self._empty()

    async def _empty(self) -> None:
        while self._sessions or self._receptions:
            await self._session_ended.wait()


def _count_refused(session: ServerSession, tally: Tally) -> None:
    tally.refuse_calls("draining", session.connection.refused_draining)
    tally.refuse_calls("too many", session.connection.refused_surplus)


async def serve(
    services: Iterable[Servable],
    host: str,
    port: int,
    *,
    tls: TlsContext | None = None,
    codec: CodecBase | None = None,
    limits: Limits = Limits(),
    keepalive: Keepalive | None = None,
    task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled: `open_tcp_listener` and `Server.serve` in one function.

    ``task_status.started`` reports the port, which port 0 leaves to the system.

    Raises:
        OSError: The address cannot be listened on.
    """
    listener = await open_tcp_listener(host, port, tls=tls)
    task_status.started(listener.extra(SocketAttribute.local_port))
    await Server(services, codec=codec, limits=limits, keepalive=keepalive).serve(listener)
