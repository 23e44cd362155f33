"""Keeps one connection's fault from ending the process.

Hypercorn 0.18 runs every connection in one nursery and lets exceptions out of a connection's task; inputs that anybody
can send then end the whole server: bytes that follow a WebSocket upgrade in the same segment, some HTTP/2 frames in
clear text. Until that is mended there, the task of a connection ends with a line in the log. This touches a name of
Hypercorn's inside, which is why its version is pinned; tests send it each of those inputs.
"""

import logging
from functools import wraps

from hypercorn.trio.tcp_server import TCPServer

log = logging.getLogger(__name__)

_MARK = "_echo_contained"


def contain_connections() -> None:
    """Have every `TCPServer` of Hypercorn's trio worker keep its errors to itself; may be called again."""
    run = TCPServer.run
    if hasattr(run, _MARK):
        return

    @wraps(run)
    async def contained(self: TCPServer) -> None:
        try:
            await run(self)
        except Exception:  # Not being cancelled, which is no `Exception`.
            log.warning("a connection failed and was closed", exc_info=True)

    setattr(contained, _MARK, True)
    TCPServer.run = contained  # type: ignore[method-assign]
