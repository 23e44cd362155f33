"""Refuses bidirectional calls by an unbound betterproto stub, which would hang on trio.

betterproto's own `_stream_stream` sends its messages with ``asyncio.ensure_future``. Without asyncio they are never
sent: the server waits for the first message, and the caller for the reply.
"""

import inspect

import sniffio

__all__ = ["refuse_unbound"]


def refuse_unbound(method: str) -> None:
    """Check that the call does not come from betterproto's `_stream_stream` while no asyncio loop runs.

    Raises:
        RuntimeError: It does.
    """
    here = inspect.currentframe()
    request = None if here is None else here.f_back
    caller = None if request is None else request.f_back
    if caller is None or caller.f_code.co_name != "_stream_stream":
        return
    if caller.f_globals["__name__"].startswith("betterproto") and sniffio.current_async_library() != "asyncio":
        raise RuntimeError(
            f"{method} needs a stub that owns a task for sending: "
            "use 'async with echo.rpc.bind(StubClass, channel) as stub'"
        )
