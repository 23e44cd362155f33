"""How large a WebSocket message can be in each direction: tries sizes, each on a socket of its own.

To the server, the summary says how many messages it got. From the server, a response is padded to the size wanted. The
time allowed for a large message is derived from the time of a smaller one, because a slow path is not a limit.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from echo.probe.path import Path
from echo.probe.web import BIDIRECTIONAL, CLIENT_STREAM, how_closed, is_echo, message, parse_object, scripted_target
from echo.probe.websocket import Closed
from echo.rpc import Limits

# Bytes of a message: what the gateway accepts, less room for the fields of a response.
ASKED: Final = Limits().max_message_size - 1024
BEGIN: Final = 64 * 1024
SAMPLE: Final = 512 * 1024  # Enough for TCP to reach its speed over a distance.
PASSES: Final = 512  # A size in bytes that is known to pass.
PATIENCE: Final = 2.0  # Seconds for a try, plus
SLOWNESS: Final = 3.0  # times what its size would take at the slowest speed seen.


class TooSlowError(Exception):
    """There is no time to try the largest message; the text says how slow the path is."""


@dataclass(frozen=True)
class Limit:
    """The result of a search.

    Attributes:
        up: Whether it was for messages to the server.
        passes: The largest size that passed, in bytes.
        fails: The smallest size that failed; None if all passed.
        how: What happened to that message.
        late: Whether it ran out of time instead of failing.
    """

    up: bool
    passes: int
    fails: int | None = None
    how: str = ""
    late: bool = False


class Sizes:
    """Tries sizes.

    Args:
        path: The path.
        until: When to stop, on trio's clock.
    """

    def __init__(self, path: Path, until: float) -> None:
        self._path = path
        self._until = until
        self._latency = 1.0  # Seconds for a small message, connecting included; at first, a guess for a slow path.
        self._pace = 0.0  # Further seconds for each byte.
        self._late = False  # Whether the last attempt ran out of time.

    async def largest(self) -> str:
        """Have smaller messages and then the largest echoed; returns what went wrong, or an empty string.

        Raises:
            TooSlowError: There is no time to try the largest.
        """
        for size in (PASSES, BEGIN, SAMPLE):
            began = trio.current_time()
            if await self._timed(size, self._echo) is not None:
                return "it was not tried, as smaller ones fail"
            seconds = self._latency + (trio.current_time() - began - self._latency) * ASKED / size
            if size > PASSES and trio.current_time() + seconds * SAMPLE / ASKED > self._until:
                break
        if trio.current_time() + seconds > self._until:
            raise TooSlowError(f"at the speed of {size // 1024} KiB it would take {seconds:.0f} s")
        return await self._timed(ASKED, self._echo) or ""

    async def search(self, *, up: bool) -> Limit:
        """Search for the limit in one direction, for as long as there is time."""
        passes, fails, how, late = PASSES, 0, "", False
        exactness = 50 if self._path.budget.quick else 200
        size = ASKED
        while True:
            came = await self._timed(size, self._to_server if up else self._to_client)
            if came is None:
                passes = size
            else:
                fails, how, late = size, came, self._late
            if not fails:
                return Limit(up, passes)
            if fails - passes <= max(fails // exactness, 64) or trio.current_time() >= self._until:
                return Limit(up, passes, fails, how, late)
            if passes == PASSES and fails > BEGIN:
                size = BEGIN
            else:
                size = int((passes * fails) ** 0.5) if fails > 2 * passes else (passes + fails) // 2

    async def _timed(self, size: int, attempt: Callable[[int], Awaitable[str | None]]) -> str | None:
        """Make an attempt; returns None if it passed, or else what happened."""
        patience = PATIENCE + SLOWNESS * (self._latency + self._pace * size)
        began = trio.current_time()
        how: str | None = f"nothing came within {patience:.0f} s"
        with trio.move_on_after(patience) as limit:
            how = await attempt(size)
        self._late = limit.cancelled_caught
        seconds = trio.current_time() - began
        if how is None and size > PASSES:
            self._pace = max(self._pace, (seconds - self._latency) / size)
        elif how is None:
            self._latency = seconds
        return how

    async def _echo(self, size: int) -> str | None:
        text = _text(size)
        async with self._path.websocket(BIDIRECTIONAL) as socket:
            await socket.send(message(text))
            came = await socket.receive()
            if isinstance(came, Closed):
                return how_closed(came)
            return None if is_echo(came, text) else "it was changed"

    async def _to_server(self, size: int) -> str | None:
        async with self._path.websocket(CLIENT_STREAM) as socket:
            await socket.send(message(_text(size)))
            await socket.send('{"half_close":true}')
            came = await socket.receive()
            if isinstance(came, Closed):
                return how_closed(came)
            return None if parse_object(came).get("sequence_number") == 1 else "it was lost"

    async def _to_client(self, size: int) -> str | None:
        async with self._path.websocket(scripted_target(BIDIRECTIONAL, {"size": f"{size}B"})) as socket:
            await socket.send(message("hi"))
            came = await socket.receive()
            if isinstance(came, Closed):
                return how_closed(came)
            if not str(parse_object(came).get("response", "")).startswith("from server: hi"):
                return "it was changed"
            return None if len(came) >= size else "the server did not send one"


def _text(size: int) -> str:
    """The text that makes a message have so many bytes."""
    return "x" * (size - len(message("")))
