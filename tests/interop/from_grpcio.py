"""Calls that a stock grpcio client makes to our server."""

from collections.abc import Iterable
from queue import SimpleQueue

import grpc
import pytest

from echo.rpc import Cardinality
from tests.support.grpcio import PATIENCE, Client, Dynamic

UNARY = Cardinality.UNARY_UNARY
CLIENT_STREAM = Cardinality.STREAM_UNARY
SERVER_STREAM = Cardinality.UNARY_STREAM
BIDI = Cardinality.STREAM_STREAM

KINDS = pytest.mark.parametrize("kind", list(Cardinality), ids=lambda kind: kind.name.lower())


class Requests:
    """A client's side of a call, as an iterator: messages as they are put in, until it is ended."""

    def __init__(self, *first: Dynamic) -> None:
        self._queue: SimpleQueue[Dynamic] = SimpleQueue()
        for message in first:
            self._queue.put(message)

    def put(self, message: Dynamic) -> None:
        self._queue.put(message)

    def end(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> "Requests":
        return self

    def __next__(self) -> Dynamic:
        message = self._queue.get()
        if message is None:
            raise StopIteration
        return message


def start(
    client: Client,
    kind: Cardinality,
    requests: Iterable[Dynamic],
    *,
    timeout: float = PATIENCE,
    **metadata: str | bytes,
) -> Dynamic:
    """Start a call of the recorder's; keys are written with underscores."""
    pairs = [(key.replace("_", "-"), value) for key, value in metadata.items()]
    method = client.recorder(kind)
    begin = method if kind.server_streaming else method.future
    request = iter(requests) if kind.client_streaming else next(iter(requests))
    return begin(request, timeout=timeout, metadata=pairs)


def replies(kind: Cardinality, call: Dynamic) -> list[Dynamic]:
    """What the call answers; blocks until its end. Raises `grpc.RpcError`."""
    return list(call) if kind.server_streaming else [call.result()]


def failure(kind: Cardinality, call: Dynamic) -> Dynamic:
    """The error the call ends with; blocks until then."""
    with pytest.raises(grpc.RpcError) as raised:
        replies(kind, call)
    return raised.value
