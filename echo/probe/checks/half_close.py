"""`half-close`: does the server see that we have sent everything, and do responses continue after that?

The server responds slowly to a few messages, so that most responses come after our half-close. We make two calls: in
one the last message carries END_STREAM, in the other an empty frame does.
"""

from collections.abc import Mapping
from typing import Final

import trio

from echo.probe.calls import BIDIRECTIONAL
from echo.probe.check import Check
from echo.probe.evidence import Record, is_over
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, survived
from echo.probe.path import Path
from echo.probe.talk import whole_messages

MESSAGES: Final = 4
INTERVAL: Final = 0.25  # Seconds between the responses.
PATIENCE: Final = MESSAGES * INTERVAL + 2.0  # Seconds for the call to end after our half-close.
BROKEN_OFF: Final = ("cancelled", "reset", "connection lost")


class HalfClose(Check):
    """Half-closes calls early, and observes the result at both ends."""

    name = "half-close"
    question = "Does the server see that we have sent everything, and do responses continue after that?"
    patience = 10.0
    causes = ("not-seen", "reset")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        for alone in (False, True):
            finding = await self._call(path, alone=alone)
            if finding is not None:
                return finding
        return survived("The server sees when we have sent everything, and its responses continue to arrive.")

    async def _call(self, path: Path, *, alone: bool) -> Finding | None:
        """Make a call and half-close it with the last message, or alone after it; None if all is well."""
        call_id = path.new_call_id()
        async with path.http2() as connection:
            script = {"interval": f"{INTERVAL * 1000:.0f}ms"}
            call = path.begin(connection, BIDIRECTIONAL, script, call_id=call_id, timeout=30.0)
            sent = True
            for number in range(MESSAGES):
                sent &= await call.send(path.message(BIDIRECTIONAL), end=number == MESSAGES - 1 and not alone)
            if alone:
                await trio.sleep(INTERVAL / 2)
                if call.over or not sent:
                    return inconclusive("The call was over before we had sent everything.")
                call.half_close()
            with trio.move_on_after(PATIENCE):
                await call.until_over()
            # The connection stays open: closing it would end the call, too.
            records = await path.evidence(call_id, until=_told, within=1.0)
        # An end without a status is for `trailers` to report.
        ended = call.ended is not None and call.is_grpc and call.fields.get("grpc-status", "0") == "0"
        if ended and whole_messages(call.data) == MESSAGES:
            return None
        if not records:
            return inconclusive(f"What the server saw of the call could not be fetched{path.hint}.")
        return _judged(records[-1], alone=alone)


def _told(record: Record) -> bool:
    return is_over(record) or record.half_closed is not None


def _judged(record: Record, *, alone: bool) -> Finding:
    """What is wrong with a call that did not end normally."""
    details: Mapping[str, JsonValue] = {
        "server_saw": record.outcome,
        "responses_sent": record.messages_out,
        "end_by_itself": alone,
    }
    if record.half_closed is None and not record.ended:
        what = "The server is never told that we have sent everything, so it waits for more."
        return broken("not-seen", what, details=details)
    if record.outcome in BROKEN_OFF:
        what = "The path resets a call when we have sent everything, though responses are still to come."
        return broken("reset", what, details=details)
    if record.outcome == "completed" and record.status == "OK":
        what = "Responses that the server sends after we have sent everything do not arrive."
        return broken("reset", what, details=details)
    return inconclusive("The call itself failed, so its end could not be checked.", details=details)
