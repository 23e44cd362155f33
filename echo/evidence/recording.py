"""The recording of one attempt at a call, and the record made from it.

While the call runs, its current values are read from it on request; only transient events are stored. When the call
has ended, its values are read one last time and the reference is dropped.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from echo.evidence.connection import local_address, tls_of
from echo.evidence.headers import kept_headers
from echo.evidence.instance import INSTANCE, Place
from echo.transport import EndCause, ServerCall, Signal
from echo.wire import PREFIX_SIZE, Field, Status, WatchedDecoder

MAX_TIMES: Final = 1_000  # Messages whose arrival time is stored.
MAX_CAUSE: Final = 1_024  # Characters.

# The memory of a recording in bytes: for each time, for each header in addition to its text, and for everything else.
_TIME_SIZE, _HEADER_SIZE, _BASE_SIZE = 8, 200, 4_000


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How a call ended, and when: nanoseconds since the epoch."""

    outcome: str
    status: Status
    cause: str | None
    at: int


class Recording:
    """The recording of one attempt.

    Args:
        call: The call, whose head has just arrived.
        fields: Its header list as received.
        call_id: The name it is kept under; empty if it is not kept.
        attempt: The attempt's number for its call-id.
        place: Where the process runs.
        now: Returns nanoseconds since the epoch.
        on_growth: Called with the recording and the number of bytes by which it has grown.

    Attributes:
        size: The approximate size in bytes.
        change: The number of changes so far.
        changed: Set at every change.
    """

    __slots__ = (
        "_arrived_bytes",
        "_call",
        "_clock",
        "_compressed",
        "_conclusion",
        "_ended",
        "_facts",
        "_half_closed",
        "_headers",
        "_messages",
        "_on_growth",
        "_out",
        "_stalled",
        "_started",
        "_times",
        "attempt",
        "call_id",
        "change",
        "changed",
        "size",
    )

    def __init__(
        self,
        call: ServerCall,
        fields: Sequence[Field],
        call_id: str,
        attempt: int,
        place: Place,
        now: Callable[[], int],
        on_growth: "Callable[[Recording, int], None]",
    ) -> None:
        self.call_id = call_id
        self.attempt = attempt
        self._on_growth = on_growth
        self.change = 0
        self.changed = Signal()
        self._ended = Signal()
        self._call: ServerCall | None = call
        self._clock = call.started
        self._started = now()
        self._half_closed: int | None = None
        self._messages = self._arrived_bytes = self._compressed = 0
        self._times = array("q")
        self._stalled = 0.0
        self._out = (0, 0, 0)
        self._conclusion: Conclusion | None = None
        self._headers = kept_headers(fields)
        self._facts = _facts(call, call_id, attempt, place)
        self.size = _BASE_SIZE + sum(_HEADER_SIZE + len(name) + len(value) for name, value in self._headers)
        call.messages = WatchedDecoder(call.messages, self._note_message)

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self._conclusion is not None

    async def ended(self) -> None:
        """Wait until the call has ended."""
        while not self.over:
            await self._ended.wait()

    def note_change(self) -> None:
        """Count a change and wake those who wait for one."""
        self.change += 1
        self.changed.set()

    # Called for the call's events

    def _note_message(self, size: int, compressed: bool) -> None:
        if self._call is not None:
            self._messages += 1
            self._arrived_bytes += size
            self._compressed += compressed
            if len(self._times) < MAX_TIMES:
                self._times.append(self._time(self._call.session.last_received))
                self._on_growth(self, _TIME_SIZE)
            self.note_change()

    def half_closed(self) -> None:
        """The client has half-closed."""
        if self._call is not None:
            self._half_closed = self._time(self._call.session.last_received)
            self.note_change()

    def stalled(self, seconds: float) -> None:
        """Sending has waited this long for the client's window."""
        self._stalled += seconds
        self.note_change()

    def end(self) -> None:
        """The call has ended."""
        call = self._call
        if call is not None:
            now = call.session.backend.now()
            status, cause = call.outcome(now)
            self._out = _sent(call)
            self._conclusion = Conclusion(_outcome(call, status), status, cause, self._time(now))
            self._call = None
            self.note_change()
            self._ended.set()

    # The record

    def record_if_ended(self, status: Status, message: str | None, messages_out: int) -> dict[str, object]:
        """The record as it will be if the call ends now with this status, after this many messages sent."""
        call = self._call
        assert call is not None
        sent = call.unsent.taken + call.unsent.size - PREFIX_SIZE * messages_out  # Some may still be queued.
        at = self._time(call.session.backend.now())
        out = (messages_out, sent, call.session.connection.pings)
        return self._record(out, Conclusion("completed", status, message, at), MAX_TIMES)

    def record(self, *, times: int = MAX_TIMES) -> dict[str, object]:
        """The record now, with the field names of ``Record``; absent fields are left out.

        Args:
            times: The largest number of message arrival times to include.
        """
        return self._record(self._out if self._call is None else _sent(self._call), self._conclusion, times)

    def _record(self, out: tuple[int, int, int], conclusion: Conclusion | None, times: int) -> dict[str, object]:
        record = self._facts | {
            "request_headers": [{"name": name, "value": value} for name, value in self._headers],
            "started": self._started,
            "messages_in": self._messages,
            "bytes_in": self._arrived_bytes,
            "message_times_in": self._times[:times].tolist(),
            "compressed_in": self._compressed,
            "window_stalled": self._stalled,
        }
        record["messages_out"], record["bytes_out"], record["pings_in"] = out
        if self._times:
            record["first_message"] = self._times[0]
        if self._half_closed is not None:
            record["half_closed"] = self._half_closed
        if conclusion is not None:
            record["ended"] = conclusion.at
            record["outcome"], record["status"] = conclusion.outcome, conclusion.status.name
            record["cause"] = (conclusion.cause or "")[:MAX_CAUSE]
        return record

    def _time(self, clock: float) -> int:
        """Convert a time on the event loop's clock to nanoseconds since the epoch."""
        return self._started + round((clock - self._clock) * 1e9)


def _facts(call: ServerCall, call_id: str, attempt: int, place: Place) -> dict[str, object]:
    """The fields that do not change while a call runs."""
    request, session = call.request, call.session
    service, _, method = request.path.removeprefix("/").partition("/")
    facts: dict[str, object] = {
        "call_id": call_id,
        "attempt": attempt,
        "service": service,
        "method": method,
        **asdict(place),
        "instance": INSTANCE,
        "protocol": "HTTP/2",
        "peer": str(session.peer),
        "local": local_address(session.stream),
        "connection_id": session.number,
        "stream_id": call.id,
        "connection_age": max(0.0, call.started - session.opened),
    }
    tls = tls_of(session.stream)
    if tls is not None:
        facts["tls"] = tls
    if request.timeout is not None:
        facts["deadline_left"] = request.timeout
    return facts


def _sent(call: ServerCall) -> tuple[int, int, int]:
    """Messages sent, their bytes, and PINGs received."""
    return call.unsent.messages, call.sent_bytes, call.session.connection.pings


def _outcome(call: ServerCall, status: Status) -> EndCause | str:
    """How a call with this status ended."""
    end_cause = call.end_cause
    if call.broken_off:
        # A client may reset the call just as its deadline passes.
        return "deadline" if status is Status.DEADLINE_EXCEEDED else end_cause or "reset"
    if call.sent_trailers is None:
        return "reset"
    if end_cause == "failed" or call.sent_trailers is call.verdict:
        return end_cause or "failed"
    return "completed"
