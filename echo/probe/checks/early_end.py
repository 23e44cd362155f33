"""`early-end`: does the reply arrive if the server ends a call while we are still sending?

The server ends one call after two responses, and another without any, while we continue to send. We compare what
arrives with what the server says it sent. If that differs, we do the same after sending everything: what is lost then,
too, is reported by other checks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import trio

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.probe.asking import UNHEEDED, ending
from echo.probe.calls import BIDIRECTIONAL, CLIENT_STREAM, Rpc
from echo.probe.check import Check
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.http2 import Stream
from echo.probe.path import Path
from echo.probe.talk import Talk, whole_messages
from echo.rpc import Status

STATUS: Final = Status.FAILED_PRECONDITION  # No hop sends it of its own accord.
SIZE: Final = 4096  # Bytes of a message.
INTERVAL: Final = 0.05  # Seconds between messages.
PATIENCE: Final = 1.5  # Seconds for the end.


@dataclass(frozen=True)
class Case:
    """A call that the server ends early: after so many responses."""

    rpc: Rpc[StreamMessage, StreamResponse]
    responses: int

    @property
    def script(self) -> Mapping[str, str]:
        """What the server is to do."""
        return {"status": f"{STATUS.name}:enough", "after": str(self.responses), "delay": "200ms"}


CASES: Final = (Case(BIDIRECTIONAL, 2), Case(CLIENT_STREAM, 0))


class EarlyEnd(Check):
    """Has the server end calls while we are sending."""

    name = "early-end"
    question = "Does the reply arrive if the server ends a call while we are still sending?"
    patience = 12.0
    causes = ("lost",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        for case in CASES:
            finding = await self._try(path, case)
            if finding is not None:
                return finding
        return survived("If the server ends a call while we are still sending, its whole reply arrives.")

    async def _try(self, path: Path, case: Case) -> Finding | None:
        """Make a call that the server ends early; None if the whole reply arrives."""
        call_id = path.new_call_id()
        async with path.http2() as connection:
            call = path.begin(connection, case.rpc, case.script, call_id=call_id, timeout=20.0)
            await _send_until_over(path, call, case)
            if _whole(call, case):
                return None
            records = await path.evidence(call_id, within=1.0)
            if records is None:
                return inconclusive(f"What the server saw of the call could not be fetched{path.hint}.")
            if not records and whole_messages(call.data) > case.responses:
                return inconclusive(UNHEEDED)  # It answered more messages than it should.
            if not records and (call.over or connection.ended):
                return inconclusive(f"The server did not see the call, which ended with {ending(call)}.")
            if not records or (not records[-1].ended and records[-1].messages_in < case.responses):
                return inconclusive(
                    "The server sees no message before we have sent everything, so it could not end the call early."
                )
            if records[-1].outcome != "completed" or records[-1].status != STATUS.name:
                return inconclusive("The server did not end the call as it was asked to.")
            if not call.over:
                await call.send(b"", end=True)
                with trio.move_on_after(PATIENCE):
                    await call.until_over()
                if _whole(call, case):
                    return inconclusive("The reply arrives, but only after we have sent everything.")
        if not await self._responds(path):
            return inconclusive("No response at all arrives while we are still sending.")
        if not await self._comes_late(path, case):
            return inconclusive("The end of a call does not arrive complete even after we have sent everything.")
        lost = "the status is" if whole_messages(call.data) >= case.responses else "responses and the status are"
        return broken("lost", f"When the server ends a call while we are still sending, {lost} lost on the way.")

    async def _responds(self, path: Path) -> bool:
        """Whether a response other than the last arrives while we are still sending."""
        async with path.http2() as connection:
            talk = Talk(path, connection)
            return await talk.say(PATIENCE)

    async def _comes_late(self, path: Path, case: Case) -> bool:
        """Whether the whole reply arrives after we have sent everything."""
        async with path.http2() as connection:
            call = path.begin(connection, case.rpc, case.script, call_id=path.new_call_id(), timeout=20.0)
            for number in range(3):
                await call.send(path.message(case.rpc, "x" * SIZE), end=number == 2)
            with trio.move_on_after(PATIENCE):
                await call.until_over()
        return _whole(call, case)


async def _send_until_over(path: Path, call: Stream, case: Case) -> None:
    with trio.move_on_after(PATIENCE):
        while await call.send(path.message(case.rpc, "x" * SIZE)) and not call.over:
            with trio.move_on_after(INTERVAL):
                await call.until_over()


def _whole(call: Stream, case: Case) -> bool:
    told = call.fields.get("grpc-status") == str(STATUS.value)
    return told and whole_messages(call.data) >= case.responses
