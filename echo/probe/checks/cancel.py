"""`cancel`: does the server hear of it when we cancel a call."""

import trio

from echo.probe.calls import BIDIRECTIONAL
from echo.probe.check import Check
from echo.probe.evidence import is_over
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.path import Path
from echo.rpc import GRPCError

PROMPT = 2.0  # Seconds within which the server must have heard of it.


class Cancel(Check):
    """Opens a stream, cancels it, and asks the server what has become of it."""

    name = "cancel"
    question = "Does the server hear of it when we cancel a call?"
    patience = 8.0
    causes = ("not-forwarded",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        call_id = path.new_call_id()
        async with path.channel() as channel:
            async with path.request(channel, BIDIRECTIONAL, call_id=call_id, timeout=60.0) as stream:
                try:
                    # The head by itself: a path that holds messages back is the business of other checks.
                    await stream.send_request()
                    await stream.send_message(BIDIRECTIONAL.message("hi"))
                except GRPCError as error:
                    return inconclusive(f"The call that was to be cancelled failed by itself: {error.message}.")
                if not await path.evidence(call_id, until=lambda _: True, within=PROMPT):
                    return inconclusive(f"The server has not seen the call that was to be cancelled{path.hint}.")
                began = trio.current_time()
                await stream.cancel()
            # The connection stays open: closing it would end the call, too.
            records = await path.evidence(call_id, within=PROMPT)
        if not records:
            return inconclusive(f"What the server saw of the call cannot be had{path.hint}.")
        outcome = records[-1].outcome
        if not is_over(records[-1]):
            return broken("not-forwarded", f"The server still worked on a call {PROMPT:g} s after we had cancelled it.")
        if outcome == "completed":
            return broken("not-forwarded", "The server took a cancelled call for one that ended in good order.")
        seconds = trio.current_time() - began
        sentence = f"The server heard within {seconds:.1f} s that a call was cancelled."
        return survived(sentence, details={"outcome": outcome})
