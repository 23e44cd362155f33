"""`reset`: does the reason arrive when the server resets a call?

The server resets calls with different RST_STREAM codes. What counts is the status that a gRPC client derives from what
arrives (gRPC over HTTP/2, "Errors"): a hop may express the same by a status of its own.
"""

from collections.abc import Mapping
from typing import Final

import trio

from echo.probe.calls import SERVER_STREAM
from echo.probe.check import Check, Scheduling
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, survived
from echo.probe.http2 import Stream
from echo.probe.path import Path
from echo.rpc import Status
from echo.wire import ErrorCode

MEANING: Final = {
    ErrorCode.NO_ERROR: Status.INTERNAL,
    ErrorCode.INTERNAL_ERROR: Status.INTERNAL,
    ErrorCode.REFUSED_STREAM: Status.UNAVAILABLE,
    ErrorCode.CANCEL: Status.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}
TRIED: Final = tuple(code for code in MEANING if code is not ErrorCode.NO_ERROR)  # NO_ERROR may end a call normally.
PATIENCE: Final = 1.5  # Seconds for each call.
HANGING, SOUND = "nothing", "a plain end"  # What else may arrive.


class Reset(Check):
    """Has the server reset calls for different reasons, and compares what arrives."""

    name = "reset"
    question = "Does the reason arrive when the server resets a call?"
    scheduling = Scheduling.LAST  # After a reset, hops may consider the server unhealthy.
    causes = ("rewritten",)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        arrived: dict[ErrorCode, str] = {}
        async with path.http2() as connection:
            for code in TRIED:
                script = {"count": "2", "interval": "0s", "after": "1", "reset": code.name}
                call_id = path.new_call_id()
                call = path.begin(connection, SERVER_STREAM, script, call_id=call_id)
                with trio.move_on_after(PATIENCE):
                    await call.send(path.message(SERVER_STREAM), end=True)
                    await call.until_over()
                arrived[code] = _meaning(call)
                if arrived[code] != MEANING[code].name and not await self._was_reset(path, call_id):
                    return inconclusive(f"It is not known whether the server reset the calls{path.hint}.")
        details: Mapping[str, JsonValue] = {code.name: said for code, said in arrived.items()}
        return _judged(arrived, details)

    async def _was_reset(self, path: Path, call_id: str) -> bool:
        records = await path.evidence(call_id, within=1.0)
        return bool(records) and records is not None and records[-1].outcome == "reset"


def _judged(arrived: Mapping[ErrorCode, str], details: Mapping[str, JsonValue]) -> Finding:
    wrong = {MEANING[code].name: said for code, said in arrived.items() if said != MEANING[code].name}
    if not wrong:
        return survived(
            f"All {len(arrived)} reasons that the server gave for resetting a call arrived.", details=details
        )
    times = f"in {len(wrong)} of {len(arrived)} cases"
    if HANGING in wrong.values():
        what = f"When the server reset a call, we were left waiting {times}."
    elif SOUND in wrong.values():
        what = f"When the server reset a call, the response just ended, without a reason, {times}."
    else:
        meant, said = next(iter(wrong.items()))
        what = f"When the server reset a call, the wrong reason arrived {times}: {meant} became {said}."
    return broken("rewritten", what, details=details, silent={*wrong.values()} == {HANGING})


def _meaning(call: Stream) -> str:
    """The status that a gRPC client derives from how a call ended."""
    status = call.fields.get("grpc-status")
    if status is not None and status.isdigit() and int(status) <= 16:
        return Status(int(status)).name
    if call.reset is not None:
        known = call.code in ErrorCode.__members__.values()
        return MEANING.get(ErrorCode(call.code or 0), Status.INTERNAL).name if known else Status.INTERNAL.name
    if call.ended is not None:
        return SOUND
    return Status.UNAVAILABLE.name if call.connection.ended else HANGING
