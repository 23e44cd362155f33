"""A call whose first response takes long: does the path wait for it, and does it make the call again meanwhile?

Many hops have a timeout of their own for a response to begin, such as Envoy's ``per_try_timeout``. Some then make the
call again, while the server may still be working on it.
"""

from dataclasses import dataclass

import trio

from echo.probe.asking import attempts_at, ending, succeeded
from echo.probe.calls import UNARY
from echo.probe.finding import Finding, JsonValue, limited
from echo.probe.ladder import MOST, SLACK, Busy, Ladder
from echo.probe.path import Path
from echo.probe.talk import ANSWER, cut_of

BY_SERVER = ("draining", "deadline")  # Outcomes of calls that the server itself has ended.


@dataclass
class LateResponse:
    """What became of the call.

    Attributes:
        asked: Seconds that the server was to take.
        cut: Seconds after which it was cut off; None if it was not, or if that is not known.
        how: How it ended, in words.
        seen: How many times the servers saw it.
        again: Seconds after which it was made again; None if it was not.
    """

    asked: float = 0.0
    cut: float | None = None
    how: str = ""
    seen: int = 0
    again: float | None = None

    async def wait(self, path: Path, seconds: float) -> None:
        """Make the call, on a connection that another call uses; the server takes so long to respond."""
        self.asked = min(seconds, MOST)
        call_id = path.new_call_id()
        async with path.http2() as connection, trio.open_nursery() as nursery:
            await connection.ready()
            if connection.max_streams == 1:
                return
            nursery.start_soon(Busy(path, connection).run)
            began = trio.current_time()
            script = {"delay": f"{self.asked * 1000:.0f}ms"}
            call = path.begin(connection, UNARY, script, call_id=call_id)
            with trio.move_on_at(began + self.asked + ANSWER):
                await call.send(path.message(UNARY), end=True)
                await connection.until(lambda: call.over)
            # Once it has begun to arrive, other checks report what becomes of it.
            cut = None if succeeded(call) or call.replied else cut_of(call, connection)
            if not call.over:
                call.cancel()
            nursery.cancel_scope.cancel()
        records = await attempts_at(path, call_id)
        if not records or any(record.outcome in BY_SERVER for record in records):
            return
        self.seen, self.how = len(records), ending(call)
        self.cut = None if cut is None else cut.at - began
        times = sorted(record.started for record in records if record.started is not None)
        if len(times) > 1:
            self.again = (times[1] - times[0]) / 1e9

    def finding(self, sent: Ladder) -> Finding | None:
        """What is wrong with it; None if nothing is, or if ``sent`` shows that calls are cut off at that age anyway.

        Args:
            sent: What became of streams on which the server was silent after its first response.
        """
        if self.again is not None:
            what = (
                f"The path waits {self.again:.1f} s for a call's first response, then makes the call again although "
                f"the server may be working on it: it was seen {self.seen} times."
            )
            return limited("made-again", what, limit=round(self.again, 1), unit="s")
        if self.cut is None or (sent.cut is not None and sent.cut.at <= self.cut + SLACK) or not sent.alive:
            return None
        what = (
            f"The path waits {self.cut:.1f} s for a call's first response, then the call ends with {self.how}; "
            "after that response, the server may be silent for longer."
        )
        return limited("first-response", what, limit=round(self.cut, 1), unit="s")

    @property
    def details(self) -> dict[str, JsonValue]:
        """For the JSON report."""
        return {
            "first_response": {
                "asked": self.asked,
                "cut": self.cut,
                "ended_with": self.how,
                "seen": self.seen,
                "made_again_after": self.again,
            }
        }
