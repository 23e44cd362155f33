"""`trailers`: does the end of a call arrive, with its status and metadata?

In one call, the server is asked to add a header and a trailer. The header shows that it does as asked, so a missing
trailer was lost on the way.
"""

import trio

from echo.probe.asking import UNHEEDED, ending
from echo.probe.calls import UNARY
from echo.probe.check import Check
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.path import Path

PATIENCE = 5.0  # Seconds for the call.
HEADER, TRAILER = "x-echo-probe-head", "x-echo-probe-tail"


class Trailers(Check):
    """Makes one call on a raw connection, and examines its end."""

    name = "trailers"
    question = "Does the end of a call arrive, with its status and metadata?"
    patience = 8.0
    causes = ("status-lost", "metadata-lost")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        async with path.http2() as connection:
            script = {"set-header": f"{HEADER}=a", "set-trailer": f"{TRAILER}=z"}
            call = path.begin(connection, UNARY, script, call_id=path.new_call_id(), timeout=PATIENCE)
            with trio.move_on_after(PATIENCE):
                await call.send(path.message(UNARY), end=True)
                await call.until_over()
            fields = call.fields
            if "grpc-status" not in fields and not call.replied:
                return inconclusive(f"The call ended with {ending(call)}, so its end could not be checked.")
            if "grpc-status" not in fields:
                return broken("status-lost", f"The reply came, but its end did not: {_end(call.ended, call.reset)}.")
            if fields["grpc-status"] != "0":
                return inconclusive(f"The call ended with {ending(call)}, so its end could not be checked.")
            if TRAILER in fields:
                return survived("The end of a call arrives, with its status and the trailing metadata.")
            if HEADER in fields:
                return broken("metadata-lost", "The end of a call arrives, but trailing metadata is lost on the way.")
            return inconclusive(UNHEEDED)


def _end(ended: float | None, reset: float | None) -> str:
    if reset is not None:
        return "the call was reset instead"
    return "it was cut off before the status" if ended is not None else "the call was left hanging"
