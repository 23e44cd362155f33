"""One interface to call `tests.support.recording.Recorder` with our client and with stock grpcio, so that both pass the
same tests.
"""

import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import grpc
import pytest
import trio

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, Status, open_channel
from tests.support.grpcio import PATIENCE, Client, Dynamic, grpcio_client, in_thread
from tests.support.grpcio import StreamMessage as StockMessage
from tests.support.recording import PATHS
from tests.support.serving import LOOPBACK
from tests.support.tls import Certificates, grpcio_tls_client

CLIENTS: Final = ("ours", "grpcio")
EACH_CLIENT: Final = pytest.mark.parametrize("client", CLIENTS)

Pairs: TypeAlias = Mapping[str, str | bytes]


@dataclass
class Outcome:
    """How a call ended.

    Attributes:
        status, message, details: The status; OK if nothing was raised.
        texts, numbers: What each reply said, and which it was.
        initial, trailing: The metadata that came.
    """

    status: Status = Status.OK
    message: str | None = None
    details: object = None
    texts: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    initial: dict[str, str | bytes] = field(default_factory=dict)
    trailing: dict[str, str | bytes] = field(default_factory=dict)


class Caller(Protocol):
    """A client. Cancelling its `call` cancels the gRPC call."""

    async def call(
        self,
        kind: Cardinality,
        metadata: Pairs | None = None,
        *,
        text: str = "hi",
        count: int = 1,
        half_close: bool = True,
        timeout: float | None = None,
    ) -> Outcome:
        """Call the recorder's method of this type, and wait for the end.

        Args:
            kind: Which method.
            metadata: To send along.
            text: What each message says.
            count: How many messages, if the method takes more than one. They carry their numbers.
            half_close: Else the call is left open, if the method takes more than one.
            timeout: Seconds until the deadline.
        """


class Ours:
    """Our client.

    Attributes:
        channel: Its channel.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def call(
        self,
        kind: Cardinality,
        metadata: Pairs | None = None,
        *,
        text: str = "hi",
        count: int = 1,
        half_close: bool = True,
        timeout: float | None = None,
    ) -> Outcome:
        outcome = Outcome()
        stream = self.channel.request(
            PATHS[kind], kind, StreamMessage, StreamResponse, metadata=metadata, timeout=timeout
        )
        try:
            async with stream:
                await stream.send_request()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_receive, stream, outcome)
                    for number in range(1, (count if kind.client_streaming else 1) + 1):
                        await stream.send_message(StreamMessage("a", number, 0, text), end=not kind.client_streaming)
                    if kind.client_streaming and half_close:
                        await stream.end()
        except* GRPCError as group:
            error = group.exceptions[0]  # Sending and receiving fail with the same error.
            assert isinstance(error, GRPCError)
            outcome.status, outcome.message, outcome.details = error.status, error.message, error.details
        outcome.initial = dict(stream.initial_metadata or {})
        outcome.trailing = dict(stream.trailing_metadata or {})
        return outcome


async def _receive(stream: ClientStream[StreamMessage, StreamResponse], outcome: Outcome) -> None:
    async for reply in stream:
        outcome.texts.append(reply.response)
        outcome.numbers.append(reply.sequence_number)


class Stock:
    """Stock grpcio.

    Attributes:
        client: Its stubs.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(
        self,
        kind: Cardinality,
        metadata: Pairs | None = None,
        *,
        text: str = "hi",
        count: int = 1,
        half_close: bool = True,
        timeout: float | None = None,
    ) -> Outcome:
        over = trio.CancelScope()
        messages = _Messages(text, count if kind.client_streaming else 1, half_close)
        method = self.client.recorder(kind)
        begin = method if kind.server_streaming else method.future
        call = begin(
            messages if kind.client_streaming else next(messages),
            timeout=PATIENCE if timeout is None else timeout,
            metadata=list((metadata or {}).items()),
        )

        async def cancel_with_us() -> None:
            try:
                with over:
                    await trio.sleep_forever()
            finally:
                call.cancel()
                messages.over.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_with_us)
            outcome = await in_thread(_outcome, kind, call)
            over.cancel()
        return outcome


class _Messages(Iterator[Dynamic]):
    """The messages that a stock client sends. grpcio asks for the next one in a thread of its own.

    Attributes:
        over: No more is wanted.
    """

    def __init__(self, text: str, count: int, half_close: bool) -> None:
        self._text, self._count = text, count
        self._number = 0
        self.over = threading.Event()
        if half_close:
            self.over.set()

    def __next__(self) -> Dynamic:
        if self._number == self._count:
            self.over.wait(PATIENCE)
            raise StopIteration
        self._number += 1
        return StockMessage(stream_id="a", sequence_number=self._number, message=self._text)


def _outcome(kind: Cardinality, call: Dynamic) -> Outcome:
    outcome = Outcome()
    try:
        for reply in call if kind.server_streaming else [call.result()]:
            outcome.texts.append(reply.response)
            outcome.numbers.append(reply.sequence_number)
    except (grpc.RpcError, grpc.FutureCancelledError):
        outcome.status, outcome.message = Status(call.code().value[0]), call.details()
    outcome.initial, outcome.trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    outcome.details = outcome.trailing.get("grpc-status-details-bin")
    return outcome


@asynccontextmanager
async def calling(client: str, port: int, certificates: Certificates | None = None) -> AsyncIterator[Caller]:
    """A client, one of `CLIENTS`, of the server on this port. With certificates, it uses TLS."""
    if client == "ours":
        async with open_channel(LOOPBACK, port, tls=certificates.calling() if certificates else None) as channel:
            yield Ours(channel)
    elif certificates:
        async with grpcio_tls_client(port, certificates.grpcio_calling()) as stock:
            yield Stock(stock)
    else:
        async with grpcio_client(port) as stock:
            yield Stock(stock)
