"""The streaming echoes: one method for each call type that streams."""

import time
from collections.abc import AsyncIterator
from typing import Final

import anyio

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from echo.rpc import GRPCError, Status
from echo.scripting import Script
from echo.services.scripted_stream import ScriptedStream

ECHOES: Final = 5
INTERVAL: Final = 1.0  # Seconds from one echo of a message to the next.


class StreamingEchoService(StreamingServerBase):
    """``com.gopay.echo.streaming.StreamingServer``.

    Every message must name its stream: one with an empty ``stream_id`` ends the call with `GRPCError`
    INVALID_ARGUMENT, in all three methods. Every response reports success, the time it was
    made, and the ``stream_id`` of the message it answers, which may differ between the messages of a call.
    """

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        """Count the messages; the answer carries the first one's ``stream_id``."""
        stream_id = ""
        number = 0
        async for message in stream_message_iterator:
            _check(message)
            stream_id = stream_id or message.stream_id
            number += 1
            del message  # Otherwise an idle stream would keep its last one.
        return _response(stream_id, number, f"received {number} messages")

    async def server_stream(self, stream_message: StreamMessage) -> AsyncIterator[StreamResponse]:
        """Answer the message five times, a second apart."""
        _check(stream_message)
        for number in range(1, ECHOES + 1):
            if number > 1:
                await anyio.sleep(INTERVAL)
            yield _echo(stream_message, number, ECHOES)

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        """Answer each message as it comes."""
        number = 0
        async for message in stream_message_iterator:
            _check(message)
            number += 1
            yield _response(message.stream_id, number, message.message)
            del message  # Otherwise an idle stream would keep its last one.


async def scripted_server_stream(stream: ScriptedStream, script: Script) -> None:
    """`StreamingEchoService.server_stream` with the number of echoes and the interval that the script asks for."""
    count = ECHOES if script.count is None else script.count
    stream.interval = INTERVAL if script.interval is None else script.interval
    message: StreamMessage = await stream.recv_message()
    _check(message)
    for number in range(1, count + 1):
        await stream.turn()  # First, as the response has the time in it.
        await stream.send_message(_echo(message, number, count))


def _echo(message: StreamMessage, number: int, count: int) -> StreamResponse:
    return _response(message.stream_id, number, f"{message.message} (echo {number}/{count})")


def _check(message: StreamMessage) -> None:
    if not message.stream_id:
        raise GRPCError(Status.INVALID_ARGUMENT, "stream_id is required")


def _response(stream_id: str, number: int, text: str) -> StreamResponse:
    return StreamResponse(
        stream_id=stream_id,
        sequence_number=number,
        timestamp=time.time_ns(),
        response=f"from server: {text}",
        success=True,
    )
