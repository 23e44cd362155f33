"""What we mend in Hypercorn 0.18, by replacing methods of its inside; which is why its version is pinned.

- All connections run in one nursery, and an exception in one ends the whole server. Anybody can provoke some: bytes
  that follow a WebSocket upgrade in the same segment, by some HTTP/2 frames in clear text. Tests send each of them.
- The task that sends PINGs on a WebSocket sleeps on after the socket is closed, up to a whole interval. It keeps the
  connection's nursery open for that long, and a shutdown waiting.
"""

import logging
from functools import wraps

import trio
from hypercorn.protocol.events import Event, StreamClosed
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.tcp_server import TCPServer
from wsproto.events import Ping

log = logging.getLogger(__name__)

_MARK = "_mended_by_echo"
_ENDED = "_ended_for_echo"


def mend_hypercorn() -> None:
    """Replace the methods in question; may be called again."""
    if hasattr(TCPServer, _MARK):
        return
    setattr(TCPServer, _MARK, True)
    _contain_connections()
    _end_pings_with_their_socket()


def _contain_connections() -> None:
    run = TCPServer.run

    @wraps(run)
    async def contained(self: TCPServer) -> None:
        try:
            await run(self)
        except Exception:  # Not being cancelled, which is no `Exception`.
            log.warning("a connection failed and was closed", exc_info=True)

    TCPServer.run = contained  # type: ignore[method-assign]


def _end_pings_with_their_socket() -> None:
    handle = WSStream.handle

    @wraps(handle)
    async def telling(self: WSStream, event: Event) -> None:
        if isinstance(event, StreamClosed) and (ended := getattr(self, _ENDED, None)) is not None:
            ended.set()
        await handle(self, event)

    async def send_pings(self: WSStream) -> None:
        ended = trio.Event()
        setattr(self, _ENDED, ended)
        interval = self.config.websocket_ping_interval
        assert interval is not None  # Or Hypercorn would not have started this task.
        while not self.closed and not ended.is_set():
            await self._send_wsproto_event(Ping())
            with trio.move_on_after(interval):
                await ended.wait()

    WSStream.handle = telling  # type: ignore[method-assign]
    WSStream._send_pings = send_pings  # type: ignore[method-assign]
