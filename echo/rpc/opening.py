"""Opens calls: tells event listeners and notes, and applies the service config and call credentials.

Most calls are plain: none of these is involved, and their streams open them directly.
"""

import math

import anyio
from multidict import MultiDict

from echo.rpc.call_notes import CallRecord
from echo.rpc.deadline import Deadline
from echo.rpc.method import Method
from echo.rpc.open_attempt import open_attempt
from echo.rpc.retry import MadeCall
from echo.wire import CONTENT_TYPE, GRPCError, Metadata, Status


async def open_call(method: Method, metadata: Metadata | None, deadline: float) -> tuple[MadeCall, CallRecord | None]:
    """Open a call. Returns it, and its record if there is one.

    Args:
        method: The method to call.
        metadata: The request's metadata.
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
        call = await open_attempt(channel.balancer, request, deadline, wait_for_ready=method.wait_for_ready)
        return call, None
    from echo.rpc.attempts import open_in_attempts  # noqa: PLC0415 - See the top of that file.

    if channel.notes is None:
        return await open_in_attempts(method, request, deadline, None), None
    record = channel.notes.begin(method.path, anyio.current_time())
    try:
        made = await open_in_attempts(method, request, deadline, record)
    except BaseException as error:
        # Other errors: the call was cancelled, or its metadata cannot be sent.
        fault = Status.INTERNAL if isinstance(error, Exception) else Status.CANCELLED
        record.over(error.status if isinstance(error, GRPCError) else fault, anyio.current_time())
        raise
    record.opened(made.current)
    return made, record
