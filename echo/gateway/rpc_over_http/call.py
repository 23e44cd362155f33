"""One call of the server, made for a request over HTTP: its payloads are bytes, its kind is the server's to know."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import trio

from echo.gateway.metadata import MetadataList
from echo.gateway.rpc_over_http.codec import Codec
from echo.gateway.runtime import Runtime
from echo.rpc import Cardinality, ClientStream


class Payload(bytes):
    """A message that is its own encoding, by the names that the channel's codec looks for."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """The message."""
        return self

    @classmethod
    def FromString(cls, data: bytes) -> "Payload":  # noqa: N802 - protobuf's name
        """The message."""
        return cls(data)


Stream: TypeAlias = ClientStream[Payload, Payload]


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be called, and how.

    Attributes:
        path: ``/package.Service/Method``.
        codec: How the client writes its messages.
        metadata: To be sent along.
        deadline: On trio's clock; infinity for none.
    """

    path: str
    codec: Codec
    metadata: MetadataList
    deadline: float

    @asynccontextmanager
    async def open(self, runtime: Runtime, cardinality: Cardinality) -> AsyncIterator[Stream]:
        """Prepare the call, for the length of the block.

        Args:
            runtime: With the server.
            cardinality: Which sides may send several messages here. On the wire they are all alike.
        """
        timeout = None if self.deadline == math.inf else max(0.0, self.deadline - trio.current_time())
        async with (
            runtime.backend.channel() as channel,
            channel.request(
                self.path, cardinality, Payload, Payload, timeout=timeout, metadata=self.metadata
            ) as stream,
        ):
            yield stream
