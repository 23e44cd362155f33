"""What `Channel.request` was given, kept until the call is opened."""

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import anyio

from echo.rpc.deadline import Deadline
from echo.rpc.retry import RetriedCall
from echo.rpc.tracing import MadeCallTrace
from echo.wire import CONTENT_TYPE, GRPCError, Metadata, Request, Status

if TYPE_CHECKING:
    from echo.rpc.channel import Channel


@dataclass(slots=True)
class Opening:
    """A call that is not open yet.

    Attributes:
        channel: The channel to open it on.
        path: ``/package.Service/Method``.
        metadata: To send along.
        deadline: On the event loop's clock; infinity for none.
        compression: How messages that are sent are compressed.
        wait_for_ready: Whether to wait for a connection rather than to fail.
        streaming: Either side may send several messages.
        trace: What is recorded of the call, once it is being opened.
    """

    channel: "Channel"
    path: str
    metadata: Metadata
    deadline: float
    compression: str
    wait_for_ready: bool
    streaming: bool
    trace: MadeCallTrace | None = field(default=None, init=False)

    async def open(self) -> RetriedCall:
        """Open the call.

        Raises:
            GRPCError: UNAVAILABLE if the server cannot be reached; DEADLINE_EXCEEDED.
            ValueError, TypeError: The metadata cannot be sent.
        """
        channel, metadata = self.channel, self.metadata
        if channel.tracing is not None:
            self.trace = channel.tracing.begin(self.path, channel.target, metadata, streaming=self.streaming)
        listeners = channel.events.send_request
        if listeners:
            deadline = None if self.deadline == math.inf else Deadline.at(self.deadline)
            event = await listeners.tell(
                metadata=metadata, method_name=self.path, deadline=deadline, content_type=CONTENT_TYPE
            )
            metadata = event.metadata
        request = Request(self.path, channel.scheme, channel.authority, metadata=metadata, encoding=self.compression)
        open_call = partial(channel.open_call, request, self.deadline, wait_for_ready=self.wait_for_ready)
        if channel.notes is None:
            return RetriedCall(open_call, await open_call())
        record = channel.notes.begin(self.path, anyio.current_time())
        try:
            call = await open_call()
        except BaseException as error:
            # Else it was cancelled, or its metadata cannot be sent.
            fault = Status.INTERNAL if isinstance(error, Exception) else Status.CANCELLED
            status = error.status if isinstance(error, GRPCError) else fault
            record.over(status, anyio.current_time())
            raise
        record.opened(call)
        return RetriedCall(open_call, call, record)
