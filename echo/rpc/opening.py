"""What `Channel.request` was given, kept until the call is opened, in one attempt or in several."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import anyio

from echo.rpc.call_credentials import CallCredentials, metadata_with
from echo.rpc.call_notes import CallRecord
from echo.rpc.deadline import Deadline
from echo.rpc.hedging import open_hedged
from echo.rpc.retry import RepeatableCall, RetriedCall
from echo.rpc.retry_policy import Schedule, open_retried
from echo.rpc.service_config import MethodConfig, RetryPolicy
from echo.rpc.tracing import MadeCallTrace
from echo.transport import ClientCall, ClientSession
from echo.wire import CONTENT_TYPE, PREVIOUS_ATTEMPTS, GRPCError, Metadata, Request, Status

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
        config: What the channel's service config says of the method, if it says anything.
        credentials: Who is asked for further metadata.
        streaming: Either side may send several messages.
        trace: What is recorded of the call, once it is being opened.
    """

    channel: "Channel"
    path: str
    metadata: Metadata
    deadline: float
    compression: str
    wait_for_ready: bool
    config: MethodConfig | None = None
    credentials: Sequence[CallCredentials] = ()
    streaming: bool = True
    trace: MadeCallTrace | None = field(default=None, init=False)

    @property
    def max_request(self) -> float:
        """Bytes of a message that is sent."""
        return math.inf if self.config is None or self.config.max_request is None else self.config.max_request

    async def open(self) -> RepeatableCall:
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
            event = await listeners.dispatch(
                metadata=metadata, method_name=self.path, deadline=deadline, content_type=CONTENT_TYPE
            )
            metadata = event.metadata
        request = Request(self.path, channel.scheme, channel.authority, metadata=metadata, encoding=self.compression)
        if channel.notes is None:
            return await self._open(request, None)
        record = channel.notes.begin(self.path, anyio.current_time())
        try:
            call = await self._open(request, record)
        except BaseException as error:
            # Else it was cancelled, or its metadata cannot be sent.
            fault = Status.INTERNAL if isinstance(error, Exception) else Status.CANCELLED
            status = error.status if isinstance(error, GRPCError) else fault
            record.over(status, anyio.current_time())
            raise
        record.opened(call.current)
        return call

    async def _open(self, request: Request, record: CallRecord | None) -> RepeatableCall:
        if self.config is not None or self.credentials:
            return await self._open_by(self.config or MethodConfig(), request, record)
        open_call = partial(self.channel.open_call, request, self.deadline, wait_for_ready=self.wait_for_ready)
        return RetriedCall(open_call, await open_call(), record)

    async def _open_by(self, config: MethodConfig, request: Request, record: CallRecord | None) -> RepeatableCall:
        """Open the call as the service config has it, each attempt with credentials."""

        async def attempt(
            *, refused: ClientCall | None = None, previous: int = 0, avoided: Collection[ClientSession] = ()
        ) -> ClientCall:
            head = request
            if self.credentials:
                head = replace(head, metadata=await metadata_with(self.credentials, head, self.deadline))
            if previous:
                metadata = head.metadata.copy()
                metadata[PREVIOUS_ATTEMPTS] = str(previous)
                head = replace(head, metadata=metadata)
            call = await self.channel.open_call(
                head, self.deadline, wait_for_ready=self.wait_for_ready, refused=refused, avoided=avoided
            )
            if config.max_response is not None:
                call.messages.limit = min(call.messages.limit, config.max_response)
            return call

        policy, throttle = config.policy, self.channel.throttle
        if policy is None:
            return RetriedCall(attempt, await attempt(), record)
        if isinstance(policy, RetryPolicy):
            return await open_retried(attempt, Schedule(policy, throttle, self.deadline), record)
        return await open_hedged(attempt, policy, throttle, record)
