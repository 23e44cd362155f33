"""The WebSocket routes' paths and messages, and a service that reports what its handlers see."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import trio

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from echo.rpc import GRPCError, Status

BIDIRECTIONAL = "/ws/stream/bidirectional"
SERVER = "/ws/stream/server"
CLIENT = "/ws/stream/client"

INVALID = '{"stream_id":"","sequence_number":0,"timestamp":0,"response":"invalid message format","success":false}'


def hello(text: str = "hi", stream_id: str = "a") -> str:
    """A message to send."""
    return json.dumps({"stream_id": stream_id, "message": text})


def without_time(text: object) -> str:
    """A response with its timestamp, which must be one of about now, set to 0; otherwise byte for byte."""
    assert isinstance(text, str)
    timestamp = json.loads(text)["timestamp"]
    assert 1_700_000_000_000_000_000 < timestamp < 4_000_000_000_000_000_000
    return text.replace(f'"timestamp":{timestamp}', '"timestamp":0')


def echoed(text: str, number: int) -> str:
    """The response to a message, its timestamp 0."""
    return (
        f'{{"stream_id":"a","sequence_number":{number},"timestamp":0,"response":"from server: {text}","success":true}}'
    )


class Recorder(StreamingServerBase):
    """The streaming methods, telling what their handlers see, and failing or waiting on demand."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.started = trio.Event()
        self.cancelled = trio.Event()
        self.completed = trio.Event()
        self.arrived = trio.Event()

    def _take(self, message: StreamMessage) -> None:
        self.received.append(message.message)
        self.arrived.set()
        if message.message in Status.__members__:
            raise GRPCError(Status[message.message], "é" * 100)

    @contextmanager
    def _watch(self) -> Iterator[None]:
        self.started.set()
        try:
            yield
        except (trio.Cancelled, GeneratorExit):  # The latter where the runtime closes a generator.
            self.cancelled.set()
            raise
        else:
            self.completed.set()

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        number = 0
        with self._watch():
            async for message in stream_message_iterator:
                self._take(message)
                number += 1
                if message.message == "hang":
                    await trio.sleep_forever()
        return StreamResponse(sequence_number=number, timestamp=1_750_000_000_000_000_000)

    async def server_stream(self, stream_message: StreamMessage) -> AsyncIterator[StreamResponse]:
        assert stream_message.message
        number = 0
        with self._watch():
            while True:
                number += 1
                yield StreamResponse(sequence_number=number, response="x" * 10_000)
                self.received.append(str(number))

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        with self._watch():
            async for message in stream_message_iterator:
                self._take(message)
                if message.message == "hang":
                    await trio.sleep_forever()
                yield StreamResponse(response=message.message)
