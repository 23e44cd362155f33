"""Hypercorn's side of one HTTP/2 connection, mended.

- **What comes for a stream that is over is no fault of anybody's.** A client may well send DATA, or the end of its
  stream, after we have ended ours: it has not heard of it yet (RFC 9113 §5.1). Hypercorn 0.18 then fails, and with it
  all that goes on in the other streams of the connection.
- **Who sends waits for who reads.** Hypercorn lets a stream's sender go on whenever little was taken from its buffer,
  also if the client's window was closed and nothing could be taken: the buffer then grows without end.
- **What streams say last is sent.** When Hypercorn ends, it cancels its connections, and what sends for the streams of
  one along with the streams, to which that is the sign to close their WebSockets.
"""

from contextlib import suppress

import h2.events
import trio
from h2.exceptions import ProtocolError
from hypercorn.events import Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import (
    BUFFER_HIGH_WATER,
    BUFFER_LOW_WATER,
    BufferCompleteError,
    H2Protocol,
    StreamBuffer,
)

from echo.gateway.websocket import LAST_WORDS


class HTTP2Protocol(H2Protocol):
    """Takes the place of Hypercorn's ``H2Protocol``; see `echo.gateway.connection`."""

    async def send_task(self) -> None:
        """Send what the streams have to send; cancelled, for a moment more, as the connection's reader reads."""
        try:
            await super().send_task()
        except trio.Cancelled:
            with trio.move_on_after(LAST_WORDS, shield=True):
                await super().send_task()
            raise

    async def stream_send(self, event: StreamEvent) -> None:
        """Take in what a stream has to send, or that it is over."""
        if isinstance(event, StreamClosed) and self.streams.keys() - {event.stream_id}:
            # Hypercorn takes a WebSocket for idle that has closed, and ends the connection before that is sent.
            await self._close_stream(event.stream_id)
            await self.send(Updated(idle=False))
        else:
            await super().stream_send(event)

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                with suppress(ProtocolError):  # It still counts for the connection's window (RFC 9113 §5.1, §6.9).
                    self.connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            else:
                await super()._handle_events([event])
        await self._flush()


class SendBuffer(StreamBuffer):
    """Takes the place of Hypercorn's ``StreamBuffer``: what one stream has to send, for when its window allows.

    Holds at most `BUFFER_HIGH_WATER` bytes and what is pushed by each who may push.
    """

    async def push(self, data: bytes) -> None:
        """Add bytes; if there are many now, wait until there are few, or the stream is closed.

        Raises:
            BufferCompleteError: Nothing more may come.
        """
        if self._complete:
            raise BufferCompleteError
        self.buffer += data
        await self._is_empty.clear()
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            if self._paused.is_set():  # Else somebody waits for it already, and must go on waiting for the same one.
                await self._paused.clear()
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        """Take at most so many bytes."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data
