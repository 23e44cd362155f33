"""`ws-cancel`: does the server notice when we leave a WebSocket?"""

from typing import Final

import trio

from echo.probe.check import Check, Kind
from echo.probe.evidence import Record
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.path import Path
from echo.probe.web import BIDIRECTIONAL, echoed, scripted_target, server_saw
from echo.probe.websocket import Closed

PROMPT: Final = 5.0  # Seconds within which the server must have noticed.
PATIENCE: Final = 2.0  # Seconds for each answer.


class WsCancel(Check):
    """Opens two WebSockets, leaves one with a close frame and one without, and asks how their calls ended."""

    name = "ws-cancel"
    question = "Does the server notice when we leave a WebSocket?"
    kind = Kind.WS
    needs = ("ws-upgrade",)
    causes = ("not-forwarded",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        left: dict[bool, tuple[str, float] | Finding] = {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_leave, path, True, left)
            nursery.start_soon(_leave, path, False, left)
        late: list[str] = []
        slowest = 0.0
        for politely, word in ((True, "with a close frame"), (False, "by closing the connection")):
            found = left[politely]
            if isinstance(found, Finding):
                return found
            late += [] if found[0] else [word]
            slowest = max(slowest, found[1])
        if late:
            how = " or ".join(late)
            sentence = f"The server was still working on a call {PROMPT:g} s after we had left its WebSocket {how}."
            return broken("not-forwarded", sentence, silent=True)
        return survived(f"The server noticed within {max(slowest, 0.1):.1f} s that we had left a WebSocket.")


async def _leave(path: Path, politely: bool, left: dict[bool, tuple[str, float] | Finding]) -> None:
    """Leave a WebSocket; notes the outcome of its call for the server, empty if it goes on, and after how long."""
    call_id = path.new_call_id()
    # The deadline ends the call if nothing else does.
    async with path.websocket(scripted_target(BIDIRECTIONAL, call_id=call_id), [("Grpc-Timeout", "60S")]) as socket:
        came = await echoed(socket, "hi", PATIENCE)
        if came is None or isinstance(came, Closed):
            left[politely] = inconclusive("The WebSocket that was to be left got no reply.")
            return
        seen = await server_saw(path, call_id, until=lambda _: True, within=PATIENCE)
        if not seen or seen[-1].ended:
            left[politely] = inconclusive(f"It is not known whether the call reached the server{path.hint}.")
            return
        began = trio.current_time()
        if politely:
            await socket.close(1000, "leaving")
            with trio.move_on_after(PATIENCE):
                await socket.receive()
    seen = await server_saw(path, call_id, within=PROMPT)
    if not seen:
        left[politely] = inconclusive(f"What the server saw of the call can no longer be fetched{path.hint}.")
        return
    left[politely] = (_heard(seen[-1]), trio.current_time() - began)


def _heard(record: Record) -> str:
    return record.outcome if record.ended else ""
