"""`response-streaming`: do we see each response when it is sent?

The server sends a few responses one by one. If they arrive together although the server took its time, it is asked for
large ones, to find out whether a buffer has to fill, or the call has to end.
"""

from typing import Final

import trio

from echo.probe.calls import SERVER_STREAM
from echo.probe.check import Check
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.path import Path
from echo.probe.rhythm import in_lumps, kib, longest_wait

RESPONSES: Final = 6
INTERVAL: Final = 0.2  # Seconds between them.
ROUNDS: Final = 2  # A busy machine may hold responses back once.
STEP: Final = 16 * 1024  # Bytes of a large response,
STEPS: Final = 24  # how many of them are asked for,
STEP_INTERVAL: Final = 0.05  # and how many seconds apart.
PATIENCE: Final = 5.0  # Seconds for a call.


class ResponseStreaming(Check):
    """Has the server send responses one by one, and records when each arrives."""

    name = "response-streaming"
    question = "Do we see each response when it is sent?"
    causes = ("held-to-end", "held-in-lumps")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        script = {"count": str(RESPONSES), "interval": f"{INTERVAL * 1000:.0f}ms"}
        async with path.channel() as channel:
            for _ in range(ROUNDS):
                answer = await path.call(channel, SERVER_STREAM, script, timeout=PATIENCE)
                if not answer.ok or not answer.replies:
                    return inconclusive(f"The call with the responses failed ({answer}).")
                if not in_lumps(answer.at, INTERVAL):
                    return survived("Each response reaches us as soon as it is sent.")
        took = await _took(path, answer.call_id)
        if took is None or took < INTERVAL * (len(answer.replies) - 1) / 2:
            return inconclusive(f"It is not known when the server sent its responses{path.hint}.")
        wait = longest_wait(answer.at)
        if wait > INTERVAL:  # Too few bytes to fill a buffer: a timer has released them.
            what = f"Responses, sent {INTERVAL:g} s apart, reach us in lumps every {wait:.1f} s."
            return broken("held-in-lumps", what, details={"seconds": round(wait, 3)})
        buffer = await _buffer(path)
        details = {"buffer": buffer}
        if buffer is not None:
            what = f"The path holds responses back until about {kib(buffer)} have accumulated."
            return broken("held-in-lumps", what, details=details)
        what = f"The path holds responses back until the call has ended, {took:.1f} s in this case."
        return broken("held-to-end", what, details=details)


async def _took(path: Path, call_id: str) -> float | None:
    """Seconds that the server took for a call."""
    records = await path.evidence(call_id)
    if not records or records[-1].ended is None or records[-1].started is None:
        return None
    return (records[-1].ended - records[-1].started) / 1e9


async def _buffer(path: Path) -> int | None:
    """Bytes that the server had to send before we saw the first; None if we saw none before the end."""
    script = {"count": str(STEPS), "interval": f"{STEP_INTERVAL * 1000:.0f}ms", "size": str(STEP)}
    call_id = path.new_call_id()
    async with path.http2() as connection:
        call = path.begin(connection, SERVER_STREAM, script, call_id=call_id, timeout=PATIENCE)
        began = trio.current_time()
        await call.send(path.message(SERVER_STREAM), end=True)
        with trio.move_on_after(PATIENCE):
            await call.until_over()
    if call.ended is None or not call.arrivals:
        return None
    first = call.arrivals[0][0]
    if call.ended - first < 2 * STEP_INTERVAL:
        return None
    took = await _took(path, call_id)
    if (
        took is not None and first - began > took - STEP_INTERVAL / 2
    ):  # The end of the call released them, however slowly they arrived after that.
        return None
    return sum(size for at, size in call.arrivals if at < first + STEP_INTERVAL / 2)
