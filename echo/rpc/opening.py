"""Opens calls, in one attempt or in several, with what listeners to events, takers of notes, the service config and
call credentials do about it. In a plain call, as most are, nobody takes part but its caller: it is opened at once.
"""

import math
from collections.abc import Collection
from dataclasses import replace
from functools import partial

import anyio
from multidict import MultiDict

from echo.rpc.call_credentials import metadata_with
from echo.rpc.call_notes import CallRecord
from echo.rpc.deadline import Deadline
from echo.rpc.hedging import open_hedged
from echo.rpc.method import Method
from echo.rpc.retry import RepeatableCall, RetriedCall
from echo.rpc.retry_policy import Schedule, open_retried
from echo.rpc.service_config import MethodConfig, RetryPolicy
from echo.transport import ClientCall, ClientSession
from echo.wire import CONTENT_TYPE, PREVIOUS_ATTEMPTS, GRPCError, Metadata, Request, Status


async def open_call(method: Method, metadata: Metadata | None, deadline: float) -> RepeatableCall:
    """Open a call.

    Args:
        method: Which method is called, and how.
        metadata: To send along.
        deadline: On the event loop's clock; infinity for none.

    Raises:
        GRPCError: UNAVAILABLE if the server cannot be reached; DEADLINE_EXCEEDED.
        ValueError, TypeError: The metadata cannot be sent.
    """
    channel = method.channel
    listeners = channel.events.send_request
    if listeners:
        event = await listeners.dispatch(
            metadata=MultiDict() if metadata is None else metadata,
            method_name=method.path,
            deadline=None if deadline == math.inf else Deadline.at(deadline),
            content_type=CONTENT_TYPE,
        )
        metadata = event.metadata
    request = method.request(metadata)
    if method.plain:
        attempt = partial(channel.open_call, request, deadline, wait_for_ready=method.wait_for_ready)
        return RetriedCall(attempt, await attempt())
    if channel.notes is None:
        return await _open(method, request, deadline, None)
    record = channel.notes.begin(method.path, anyio.current_time())
    try:
        call = await _open(method, request, deadline, record)
    except BaseException as error:
        # Else it was cancelled, or its metadata cannot be sent.
        fault = Status.INTERNAL if isinstance(error, Exception) else Status.CANCELLED
        record.over(error.status if isinstance(error, GRPCError) else fault, anyio.current_time())
        raise
    record.opened(call.current)
    return call


async def _open(method: Method, request: Request, deadline: float, record: CallRecord | None) -> RepeatableCall:
    """Open the call as the service config has it, each attempt with credentials."""
    config = method.config or MethodConfig()

    async def attempt(
        *, refused: ClientCall | None = None, previous: int = 0, avoided: Collection[ClientSession] = ()
    ) -> ClientCall:
        head = request
        if method.credentials:
            head = replace(head, metadata=await metadata_with(method.credentials, head, deadline))
        if previous:
            metadata = head.metadata.copy()
            metadata[PREVIOUS_ATTEMPTS] = str(previous)
            head = replace(head, metadata=metadata)
        call = await method.channel.open_call(
            head, deadline, wait_for_ready=method.wait_for_ready, refused=refused, avoided=avoided
        )
        if config.max_response is not None:
            call.messages.limit = min(call.messages.limit, config.max_response)
        return call

    policy, throttle = config.policy, method.channel.throttle
    if policy is None:
        return RetriedCall(attempt, await attempt(), record)
    if isinstance(policy, RetryPolicy):
        return await open_retried(attempt, Schedule(policy, throttle, deadline), record)
    return await open_hedged(attempt, policy, throttle, record)
