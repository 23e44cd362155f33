"""Opens calls that have a service config or call credentials, in one attempt or several.

Plain calls do not come here. This module is loaded by the first call that does: the retry policies would take a
twentieth of the time to import `echo.rpc`, and most channels have no service config.
"""

from collections.abc import Collection
from dataclasses import replace

from echo.rpc.call_credentials import metadata_with
from echo.rpc.call_notes import CallRecord
from echo.rpc.hedging import open_hedged
from echo.rpc.method import Method
from echo.rpc.open_attempt import open_attempt
from echo.rpc.retry import MadeCall, RetriedCall
from echo.rpc.retry_policy import Schedule, open_retried
from echo.rpc.service_config import MethodConfig, RetryPolicy
from echo.transport import ClientCall, ClientSession
from echo.wire import PREVIOUS_ATTEMPTS, Request

__all__ = ["open_in_attempts"]


async def open_in_attempts(method: Method, request: Request, deadline: float, record: CallRecord | None) -> MadeCall:
    """Open the call.

    Args:
        method: The method to call.
        request: The head of the call, without the credentials' metadata.
        deadline: On the event loop's clock; infinity for none.
        record: The call's record, if any.

    Raises:
        GRPCError: The server cannot be reached, or the credentials failed; DEADLINE_EXCEEDED.
        ValueError, TypeError: The metadata cannot be sent.
    """
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
        call = await open_attempt(
            method.channel.balancer,
            head,
            deadline,
            wait_for_ready=method.wait_for_ready,
            refused=refused,
            avoided=avoided,
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
