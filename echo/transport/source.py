"""A listener for connections that another process accepts and passes on."""

from collections.abc import AsyncIterator
from typing import Protocol

from echo.transport.handshake import TlsContext
from echo.transport.starting import HANDSHAKE_TIMEOUT, AcceptedConnection, ServingListener, Start


class ConnectionSource(Protocol):
    """Where accepted connections come from."""

    def __aiter__(self) -> AsyncIterator[AcceptedConnection]:
        """The connections as they arrive; ends after the last one."""

    def retire(self) -> None:
        """Ask for no more connections; those already sent still arrive."""

    async def aclose(self) -> None:
        """Close all connections that still arrive."""


class SourceListener(ServingListener):
    """Serves the connections of a source. The other arguments are those of `open_tcp_listener`."""

    def __init__(
        self,
        source: ConnectionSource,
        *,
        tls: TlsContext | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        super().__init__(tls, handshake_timeout)
        self._source = source

    async def _start_each(self, start: Start) -> None:
        async for accepted in self._source:
            start(accepted)

    def retire(self) -> None:
        """Ask the source for no more connections; `serve` returns after the last one."""
        self._source.retire()

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()
