"""A bidirectional call by a betterproto stub that was not bound, which would hang on trio: an error in its place.

betterproto's own `_stream_stream` hands its messages to ``asyncio.ensure_future``. Without asyncio nobody ever sends
them, the server waits for the first, and the caller for the reply.
"""

import inspect

import sniffio

__all__ = ["refuse_unbound"]


def refuse_unbound(method: str) -> None:
    """Raise if the caller's caller is betterproto's way to make a bidirectional call, and asyncio does not run.

    Raises:
        RuntimeError: So it is.
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
