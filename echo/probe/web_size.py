"""How large a WebSocket message may be, each way: found by halving, a socket for each try.

Up, the server says in a summary how many messages it got. Down, it pads its response to the size wanted.
"""

from dataclasses import dataclass
from typing import Final

import trio

from echo.probe.path import Path
from echo.probe.web import BIDIRECTIONAL, CLIENT_STREAM, asked, how_closed, is_echo, message, told
from echo.probe.websocket import Closed

ASKED: Final = 4 * 2**20 - 1024  # Bytes of a message: what the gateway takes, with room for the fields of a response.
SMALL: Final = 1024
BEGIN: Final = 64 * 1024
PATIENCE: Final = 2.0  # Seconds for a try, and
SLOWNESS: Final = 4.0  # times what its size would take at the pace of the largest that has passed.


@dataclass(frozen=True)
class Limit:
    """What came of a search.

    Attributes:
        up: Whether it was for messages to the server.
        passes: The largest that passed, in bytes.
        fails: The smallest that did not; None if all passed.
        how: What happened to that.
    """

    up: bool
    passes: int
    fails: int | None = None
    how: str = ""


def sized(size: int) -> str:
    """A message of so many bytes."""
    return message("x" * (size - len(message(""))))


async def echoes_largest(path: Path) -> str:
    """Have the largest message echoed; gives what went wrong, or nothing."""
    text = "x" * (ASKED - len(message("")))
    async with path.websocket(BIDIRECTIONAL) as socket:
        with trio.move_on_after(PATIENCE):
            await socket.send(message(text))
            return _judged(await socket.receive(), text)
    return f"no reply came within {PATIENCE:g} s"


async def search(path: Path, until: float, *, up: bool) -> Limit:
    """Look for the limit one way, for as long as there is time.

    Args:
        path: Through which.
        until: When to stop, by trio's clock.
        up: Which way.
    """
    attempt = _Attempts(path, until, up=up)
    passes, fails, how = 0, 0, ""
    size = ASKED
    while True:
        came = await attempt.passes(size)
        if came is None:
            passes = max(passes, size)
        else:
            fails, how = size, came
        if not fails:
            return Limit(up, passes)
        if not passes and size <= SMALL:
            return Limit(up, 0, fails, how)
        exact = max(fails // (50 if path.budget.quick else 200), 64)
        if (passes and fails - passes <= exact) or trio.current_time() >= until:
            return Limit(up, passes, fails, how)
        size = _next(passes, fails)


def _next(passes: int, fails: int) -> int:
    if not passes:
        return BEGIN if fails > BEGIN else SMALL
    return int((passes * fails) ** 0.5) if fails > 2 * passes else (passes + fails) // 2


class _Attempts:
    """Tries sizes one way, each as patiently as the path is slow."""

    def __init__(self, path: Path, until: float, *, up: bool) -> None:
        self._path = path
        self._until = until
        self._up = up
        self._pace = 0.0  # Seconds a byte.

    async def passes(self, size: int) -> str | None:
        """Try one; None if it passed, else what happened."""
        patience = PATIENCE + SLOWNESS * self._pace * size
        began = trio.current_time()
        how: str | None = f"nothing came within {patience:.0f} s"
        with trio.move_on_after(patience):
            how = await (self._try_up(size) if self._up else self._try_down(size))
        if how is None:
            self._pace = max(self._pace, (trio.current_time() - began) / size)
        return how

    async def _try_up(self, size: int) -> str | None:
        async with self._path.websocket(CLIENT_STREAM) as socket:
            await socket.send(sized(size))
            await socket.send('{"half_close":true}')
            came = await socket.receive()
            if isinstance(came, Closed):
                return how_closed(came)
            return None if told(came).get("sequence_number") == 1 else "it was lost"

    async def _try_down(self, size: int) -> str | None:
        # Of the response, some is not its text: the rest of the JSON.
        async with self._path.websocket(BIDIRECTIONAL, asked({"size": f"{size}B"})) as socket:
            await socket.send(message("hi"))
            came = await socket.receive()
            if isinstance(came, Closed):
                return how_closed(came)
            if not str(told(came).get("response", "")).startswith("from server: hi"):
                return "it was changed"
            return None if len(came) >= size else "the server did not send one"


def _judged(came: str | bytes | Closed, text: str) -> str:
    if isinstance(came, Closed):
        return how_closed(came)
    return "" if is_echo(came, text) else "it was changed"
