"""`ws-compression`: do compressed WebSocket messages arrive intact?

Nobody has to accept it. If messages do not arrive, they are also tried without it, before compression is blamed.
"""

import random
from typing import Final

import trio

from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.path import Path
from echo.probe.web import BIDIRECTIONAL, echoed, how_closed, is_echo, what_came
from echo.probe.websocket import Closed, RefusedError

PATIENCE: Final = 2.0  # Seconds for all messages of a socket.

# Repetitions, twice as later messages may refer to earlier ones; hardly compressible text; other alphabets; nothing.
MESSAGES: Final = (
    "compress me " * 300,
    "compress me " * 300,
    "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=4_000)),  # noqa: S311 - no secret
    "größer 再见 🙂 " * 200,
    "",
    "short",
)


class WsCompression(Check):
    """Offers permessage-deflate, and has messages echoed that compress well and badly."""

    name = "ws-compression"
    question = "Do compressed WebSocket messages arrive intact?"
    kind = Kind.WS
    needs = ("ws-upgrade",)
    patience = 8.0
    causes = ("corrupt",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        try:
            agreed, wrong = await _try(path, deflate=True)
        except RefusedError as refused:
            wrong, agreed = f"it is refused ({what_came(refused.answer)})", None
        if not wrong:
            return survived(
                "Compression is agreed on, and compressed messages arrive intact."
                if agreed
                else "Nobody accepts the compression we offer, which is fine; messages arrive intact."
            )
        if (await _try(path, deflate=False))[1]:
            return inconclusive(
                "Messages do not arrive without compression either, so compression could not be checked."
            )
        if agreed is None:
            return broken("corrupt", f"A WebSocket only opens if it does not offer compression: {wrong}.")
        how = "with compression agreed on" if agreed else "when compression is merely offered"
        return broken("corrupt", f"WebSocket messages do not arrive intact {how}: {wrong}; without it they do.")


async def _try(path: Path, *, deflate: bool) -> tuple[bool, str]:
    """Have all messages echoed; returns whether they were compressed, and what went wrong, if anything."""
    async with path.websocket(BIDIRECTIONAL, deflate=deflate) as socket:
        wrong = f"no reply within {PATIENCE:g} s"
        with trio.move_on_after(PATIENCE):
            wrong = ""
            for text in MESSAGES:
                came = await echoed(socket, text, PATIENCE)
                if isinstance(came, Closed):
                    wrong = how_closed(came)
                elif came is None or not is_echo(came, text):
                    wrong = "a message was changed on its way"
                if wrong:
                    break
        return socket.deflated, wrong
