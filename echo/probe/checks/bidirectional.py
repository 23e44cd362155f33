"""`bidirectional`: do responses arrive while we are still sending?

We send a message and wait for its response. If none comes, the server says whether it has seen the message. Then we
half-close, and the server spends some time on further responses. If the first arrives well before the last, it was held
back only while we could send. Otherwise requests or responses are always held back, which other checks report.
"""

from typing import Final

import trio

from echo.probe.asking import ending
from echo.probe.calls import BIDIRECTIONAL
from echo.probe.check import Check
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.http2 import Stream
from echo.probe.path import Path

PATIENCE: Final = 1.5  # Seconds for a response.
MORE: Final = 3  # Messages sent along with our half-close,
INTERVAL: Final = 0.4  # and seconds between the server's responses.


class Bidirectional(Check):
    """Sends a message, and waits for its response without half-closing."""

    name = "bidirectional"
    question = "Do responses arrive while we are still sending?"
    patience = 10.0
    causes = ("held-to-end",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        call_id = path.new_call_id()
        async with path.http2() as connection:
            script = {"interval": f"{INTERVAL * 1000:.0f}ms"}
            call = path.begin(connection, BIDIRECTIONAL, script, call_id=call_id, timeout=20.0)
            if await self._answered(path, call) and await self._answered(path, call):
                return survived("Responses arrive while we are still sending.")
            if call.over or connection.ended:
                return await self._ended(path, call, call_id)
            records = await path.evidence(call_id, until=lambda record: record.messages_out > 0, within=1.0)
            if records is None:
                return inconclusive(f"No response came, and what the server saw could not be fetched{path.hint}.")
            if not records or not records[-1].messages_out:
                return inconclusive(
                    "The server saw no message before we had sent everything, so it could not respond either."
                )
            before = len(call.arrivals)
            for number in range(MORE):
                await call.send(path.message(BIDIRECTIONAL), end=number == MORE - 1)
            with trio.move_on_after(INTERVAL * MORE + PATIENCE):
                await call.until_over()
        if call.ended is None or len(call.arrivals) == before:
            return inconclusive("No response came, neither before we had sent everything nor after.")
        if call.ended - call.arrivals[before][0] < INTERVAL:
            return inconclusive("Responses are held back until the call ends, whether we are still sending or not.")
        return broken("held-to-end", "No response arrives until we have sent everything: the path holds them back.")

    async def _answered(self, path: Path, call: Stream) -> bool:
        """Send a message; returns whether its response comes."""
        before = len(call.data)
        with trio.move_on_after(PATIENCE):
            await call.send(path.message(BIDIRECTIONAL))
            await call.connection.until(lambda: len(call.data) > before or call.over)
        return call.is_grpc and len(call.data) > before

    async def _ended(self, path: Path, call: Stream, call_id: str) -> Finding:
        """The finding if the call was over before we had half-closed."""
        records = await path.evidence(call_id, within=1.0)
        if records and records[-1].outcome in ("cancelled", "reset", "connection lost"):
            what = "The path reset a call when a response came before we had sent everything."
            return broken("held-to-end", what, details={"server_saw": records[-1].outcome})
        return inconclusive(f"The call itself ended with {ending(call)}.")
