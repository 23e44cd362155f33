"""`bidirectional`: do responses come while we still send.

A message is sent, and its response awaited. Where none comes, the server says whether it has seen the message; then our
side ends, and the server spends some time on further responses. If the first comes well before the last, it was held
back for as long as we could send. Else requests or responses are held back altogether, which other checks tell.
"""

from typing import Final

import trio

from echo.probe.calls import BIDIRECTIONAL
from echo.probe.check import Check
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.http2 import Stream
from echo.probe.path import Path

PATIENCE: Final = 1.5  # Seconds for a response.
MORE: Final = 3  # Messages to be sent with our end,
INTERVAL: Final = 0.4  # and seconds between the server's responses.


class Bidirectional(Check):
    """Sends a message, and waits for its response without ending the call."""

    name = "bidirectional"
    question = "Do responses come while we still send?"
    patience = 10.0
    causes = ("held-to-end",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        call_id = path.new_call_id()
        async with path.http2() as connection:
            script = {"interval": f"{INTERVAL * 1000:.0f}ms"}
            call = path.begin(connection, BIDIRECTIONAL, script, call_id=call_id, timeout=20.0)
            if await self._answered(path, call) and await self._answered(path, call):
                return survived("Responses come while we still send.")
            if call.over or connection.ended:
                return await self._ended(path, call, call_id)
            records = await path.evidence(call_id, until=lambda record: record.messages_out > 0, within=1.0)
            if records is None:
                return inconclusive(f"No response came, and what the server saw cannot be had{path.hint}.")
            if not records or not records[-1].messages_out:
                return inconclusive("The server has seen no message before our end, so it could not respond either.")
            before = len(call.arrivals)
            for number in range(MORE):
                await call.send(path.message(BIDIRECTIONAL), end=number == MORE - 1)
            with trio.move_on_after(INTERVAL * MORE + PATIENCE):
                await call.until_over()
        if call.ended is None or len(call.arrivals) == before:
            return inconclusive("No response came, neither before our end nor after it.")
        if call.ended - call.arrivals[before][0] < INTERVAL:
            return inconclusive("Responses are held back to the end of the call, whether we still send or not.")
        return broken("held-to-end", "No response comes before we have sent everything: the path holds them back.")

    async def _answered(self, path: Path, call: Stream) -> bool:
        """Send a message; whether its response comes."""
        before = len(call.data)
        with trio.move_on_after(PATIENCE):
            await call.send(path.message(BIDIRECTIONAL))
            await call.connection.until(lambda: len(call.data) > before or call.over)
        return len(call.data) > before

    async def _ended(self, path: Path, call: Stream, call_id: str) -> Finding:
        """What it means that the call was over before we had ended it."""
        records = await path.evidence(call_id, within=1.0)
        if records and records[-1].outcome in ("cancelled", "reset", "connection lost"):
            what = "The path broke off a call when a response came before we had sent everything."
            return broken("held-to-end", what, details={"server_saw": records[-1].outcome})
        status = call.fields.get("grpc-status", "")
        return inconclusive("The call failed by itself" + (f" (status {status})." if status else "."))
