"""`ws-messages`: do WebSocket messages pass unchanged, and how large can they be?

Small messages test contents, order and boundaries, each kind on a socket of its own. Then a message of the largest size
that the gateway accepts is echoed; if that fails, the limit in each direction is searched for.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from echo.probe.budget import Budget
from echo.probe.check import Check, Kind, Scheduling
from echo.probe.finding import Finding, broken, inconclusive, limited, survived
from echo.probe.path import Path
from echo.probe.web import BIDIRECTIONAL, how_closed, is_echo, is_invalid, message
from echo.probe.web_size import ASKED, Limit, Sizes, TooSlowError
from echo.probe.websocket import Closed, WebSocket

PATIENCE: Final = 3.0  # Seconds for the messages of a socket.
BURST: Final = [f"{number} größer 再见 🙂 {'x' * (97 * number % 600)}" for number in range(30)]
NO_TEXT: Final = b"\xff\x00\xfe binary"


class LateError(Exception):
    """Replies did not come in time; the text says which."""


class WsMessages(Check):
    """Has messages of several kinds echoed, and then large ones."""

    name = "ws-messages"
    question = "Do WebSocket messages pass unchanged, and how large can they be?"
    kind = Kind.WS
    scheduling = Scheduling.ALONE
    needs = ("ws-upgrade",)
    patience = 25.0
    causes = ("size", "altered")

    def seconds(self, budget: Budget) -> float:  # noqa: D102 - as in Check
        return 8.0 if budget.quick else self.patience

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        until = trio.current_time() + self.seconds(path.budget) - 2.5
        wrong: dict[str, str] = {}
        late: set[str] = set()
        async with trio.open_nursery() as nursery:
            for name, ask in KINDS.items():
                nursery.start_soon(_try, path, name, ask, wrong, late)
        for name in KINDS:
            if name in wrong:
                sentence = f"{name} WebSocket messages do not pass as they were sent: {wrong[name]}."
                return broken("altered", sentence, details=dict(wrong), silent=late == {*wrong})
        sizes = Sizes(path, until)
        try:
            how = await sizes.largest()
        except TooSlowError as error:
            return inconclusive(f"Small messages pass; there was no time to try one of 4 MiB: {error}.")
        if not how:
            sentence = "WebSocket messages of up to 4 MiB pass unchanged and in order, as text and as binary."
            return survived(sentence, limit=ASKED, unit="bytes")
        limits = [await sizes.search(up=up) for up in (True, False)]
        return _limited(how, [limit for limit in limits if limit.fails is not None])


def _limited(how: str, limits: list[Limit]) -> Finding:
    if not limits:
        return inconclusive(f"A WebSocket message of 4 MiB was not echoed ({how}), but it passes each way separately.")
    way = "both ways" if len(limits) > 1 else "to the server" if limits[0].up else "to us"
    least = min(limits, key=lambda limit: limit.passes)
    about = f"WebSocket messages pass {way} up to about {_bytes(least.passes)}"
    sentence = f"{about}; at {_bytes(least.fails or 0)} and more, {least.how}."
    details = {f"{'to_server' if limit.up else 'to_client'}": _row(limit) for limit in limits}
    silent = all(limit.late for limit in limits)
    return limited("size", sentence, limit=least.passes, unit="bytes", details=details, silent=silent)


def _row(limit: Limit) -> str:
    return f"{limit.passes} bytes pass, {limit.fails} do not: {limit.how}"


def _bytes(size: int) -> str:
    if size >= 1024 * 1024:
        return f"{size / 1024 / 1024:.2f} MiB"
    return f"{size / 1024:.1f} KiB" if size >= 1024 else f"{size} bytes"


async def _try(
    path: Path, name: str, ask: Callable[[WebSocket], Awaitable[str]], wrong: dict[str, str], late: set[str]
) -> None:
    async with path.websocket(BIDIRECTIONAL) as socket:
        try:
            with trio.fail_after(PATIENCE):
                how = await ask(socket)
        except (trio.TooSlowError, LateError) as error:
            how = str(error) or f"no reply came within {PATIENCE:g} s"
            late.add(name)
        if how:
            wrong[name] = how


async def _burst(socket: WebSocket) -> str:
    """Many messages at once: whether all come back, and in order.

    Raises:
        LateError: The last of them did not come in time.
    """
    came: list[str | bytes] = []
    end: Closed | None = None
    with trio.move_on_after(PATIENCE * 0.8):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send, socket, [message(text) for text in BURST])
            while len(came) < len(BURST) and end is None:
                one = await socket.receive()
                if isinstance(one, Closed):
                    end = one
                else:
                    came.append(one)
                    if is_invalid(one):
                        break
            nursery.cancel_scope.cancel()
    if len(came) == len(BURST) and all(map(is_echo, came, BURST)):
        return ""
    if any(is_invalid(one) for one in came):
        return "what reached the gateway was cut, joined or changed"
    known = [text for one in came for text in BURST if is_echo(one, text)]
    if len(known) < len(came):
        return "what came back was changed"
    if len(set(known)) < len(known):
        return "some came back twice"
    if len(came) == len(BURST):
        return "they came in another order"
    lost = f"of {len(BURST)} sent at once, {len(BURST) - len(came)} were not answered"
    if end is None:
        raise LateError(lost)
    return f"{lost}, and {how_closed(end)}"


async def _send(socket: WebSocket, messages: list[str]) -> None:
    for one in messages:
        await socket.send(one)


async def _fragments(socket: WebSocket) -> str:
    """A message in three frames, with a ping between them."""
    whole = message("in three frames")
    await socket.send(whole[:10], finished=False)
    await socket.send(whole[10:20], finished=False)
    await socket.ping(b"between")
    await socket.send(whole[20:])
    came = await socket.receive()
    if isinstance(came, Closed):
        return how_closed(came)
    return "" if is_echo(came, "in three frames") else "they were not reassembled"


async def _binary(socket: WebSocket) -> str:
    """Binary messages, valid and invalid: the gateway reports the latter and continues."""
    await socket.send(message("binary").encode())
    came = await socket.receive()
    if isinstance(came, Closed):
        return how_closed(came)
    if not is_echo(came, "binary"):
        return "they were changed"
    await socket.send(NO_TEXT)
    came = await socket.receive()
    if isinstance(came, Closed):
        return f"after bytes that are not text, {how_closed(came)}"
    return "" if is_invalid(came) else "bytes that are not text were changed"


async def _empty(socket: WebSocket) -> str:
    """An empty message, which ends the call: the gateway closes."""
    await socket.send(message("hi"))
    if isinstance(came := await socket.receive(), Closed):
        return how_closed(came)
    await socket.send("")
    came = await socket.receive()
    return "" if isinstance(came, Closed) else "they were changed"


KINDS: Final = {"Small": _burst, "Fragmented": _fragments, "Binary": _binary, "Empty": _empty}
"""The kinds of messages, and how each is tried."""
