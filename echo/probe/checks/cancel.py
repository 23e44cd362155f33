"""`cancel`: does the server notice when we cancel a call?"""

import trio

from echo.probe.asking import UNHEEDED
from echo.probe.calls import BIDIRECTIONAL
from echo.probe.check import Check
from echo.probe.evidence import is_over
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.path import Path
from echo.rpc import GRPCError

PROMPT = 2.0  # Seconds within which the server must have noticed.
ANSWER = 0.5  # Seconds for an answer that should have come by then.


class Cancel(Check):
    """Opens a stream, cancels it, and asks the server how it ended."""

    name = "cancel"
    question = "Does the server notice when we cancel a call?"
    patience = 8.0
    causes = ("not-forwarded",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        call_id = path.new_call_id()
        async with path.channel() as channel:
            async with path.request(channel, BIDIRECTIONAL, call_id=call_id, timeout=60.0) as stream:
                try:
                    # Only the head: paths that hold messages back are reported by other checks.
                    await stream.send_request()
                    await stream.send_message(BIDIRECTIONAL.message("hi"))
                except GRPCError as error:
                    return inconclusive(f"The call that we wanted to cancel failed first: {error.message}.")
                seen = await path.evidence(call_id, until=lambda _: True, within=PROMPT)
                if seen is None:
                    return inconclusive(f"What the server saw of the call could not be fetched{path.hint}.")
                if not seen:
                    with trio.move_on_after(ANSWER):
                        if await stream.recv_message() is not None:
                            return inconclusive(UNHEEDED)  # It has seen the call, but not its name.
                    return inconclusive(f"The server has not seen the call that we wanted to cancel{path.hint}.")
                began = trio.current_time()
                await stream.cancel()
            # The connection stays open: closing it would end the call, too.
            records = await path.evidence(call_id, within=PROMPT)
        if not records:
            return inconclusive(f"What the server saw of the call could not be fetched{path.hint}.")
        outcome = records[-1].outcome
        if not is_over(records[-1]):
            what = f"The server was still working on a call {PROMPT:g} s after we had cancelled it."
            return broken("not-forwarded", what, silent=True)
        if outcome == "completed":
            return broken("not-forwarded", "To the server, a cancelled call looked like one that ended normally.")
        seconds = trio.current_time() - began
        sentence = f"The server noticed within {max(seconds, 0.1):.1f} s that a call was cancelled."
        return survived(sentence, details={"outcome": outcome})
