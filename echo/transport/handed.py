"""A listener for connections that another process has accepted and handed over, one by one."""

import logging
import ssl
from collections.abc import AsyncIterator
from socket import socket
from typing import NamedTuple, Protocol

import anyio
from anyio.abc import ByteStream, Listener, TaskGroup

from echo.transport.accepting import wrapped
from echo.transport.reception import HANDSHAKE_TIMEOUT, Handler, Over, Reception
from echo.transport.refusals import RefusalLog
from echo.transport.tally import Tally

log = logging.getLogger(__name__)


class Handed(NamedTuple):
    """A connection that was handed over.

    Attributes:
        socket: It.
        over: To be called once, when it has ended.
    """

    socket: socket
    over: Over


class Source(Protocol):
    """Where they come from."""

    def __aiter__(self) -> AsyncIterator[Handed]:
        """The connections as they come, to the last one."""

    def retire(self) -> None:
        """Ask for no more; those that are on their way still come."""

    async def aclose(self) -> None:
        """Whatever still comes is closed."""


class HandedListener(Listener[ByteStream]):
    """Hands each connection of a source to a task of its own, after its TLS handshake. `serve` may be called once.

    Attributes:
        tally: Where TLS handshakes that fail are counted.
    """

    def __init__(
        self, source: Source, *, tls: ssl.SSLContext | None = None, handshake_timeout: float = HANDSHAKE_TIMEOUT
    ) -> None:
        """As for `open_tcp_listener`."""
        self._source = source
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self.tally = Tally()

    async def serve(self, handler: Handler, task_group: TaskGroup | None = None) -> None:
        """As `StreamListener.serve`: until the source has come to its end."""
        async with anyio.create_task_group() as connections, anyio.create_task_group() as greetings:
            reception = Reception(
                handler,
                task_group or connections,
                greetings,
                self._tls,
                self._handshake_timeout,
                RefusalLog(log),
                self.tally,
            )
            async for handed in self._source:
                stream = await wrapped(handed.socket)
                if stream is None:
                    handed.over()
                else:
                    reception.welcome(stream, handed.over)

    def retire(self) -> None:
        """Take no more than what is on its way; `serve` then returns."""
        self._source.retire()

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()
