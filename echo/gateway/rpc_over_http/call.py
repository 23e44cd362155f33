"""A call to the server for one HTTP request. Payloads stay bytes, and only the server knows the method's kind."""

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
    """A message that is its own encoding, with the method names that the channel's codec expects."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Return the bytes unchanged."""
        return self

    @classmethod
    def FromString(cls, data: bytes) -> "Payload":  # noqa: N802 - protobuf's name
        """Wrap the bytes unchanged."""
        return cls(data)


Stream: TypeAlias = ClientStream[Payload, Payload]


@dataclass(frozen=True, slots=True)
class Call:
    """The call that a request asks for.

    Attributes:
        path: ``/package.Service/Method``.
        codec: Converts the client's messages.
        metadata: The call's metadata.
        deadline: The deadline on trio's clock; infinity for none.
    """

    path: str
    codec: Codec
    metadata: MetadataList
    deadline: float

    @asynccontextmanager
    async def open(self, runtime: Runtime, cardinality: Cardinality) -> AsyncIterator[Stream]:
        """Prepare the call for the duration of the block.

        Args:
            runtime: The gateway's runtime, with the channel to the server.
            cardinality: Which sides may send several messages. On the wire all kinds look the same.
        """
        timeout = None if self.deadline == math.inf else max(0.0, self.deadline - trio.current_time())
        async with (
            runtime.backend.channel() as channel,
            channel.request(
                self.path, cardinality, Payload, Payload, timeout=timeout, metadata=self.metadata
            ) as stream,
        ):
            yield stream
