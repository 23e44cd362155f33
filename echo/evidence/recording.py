"""One attempt at a call as it is being recorded, and what is told of it.

While the call runs, what can be read off it is read when it is asked for; only what passes is noted. When it has ended,
it is read for the last time and let go of.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from echo.evidence.connection import local_address, tls_of
from echo.evidence.headers import kept_headers
from echo.evidence.instance import INSTANCE, Place
from echo.transport import Fate, ServerCall, Signal
from echo.wire import PREFIX_SIZE, ReceivedField, Status, WatchedDecoder

MOST_TIMES: Final = 1_000  # Messages whose arrival is noted.
MOST_OF_CAUSE: Final = 1_024  # Characters.

# Bytes that a recording occupies, for each time and each header (their text is counted besides), and for the rest.
_OF_A_TIME, _OF_A_HEADER, _OF_THE_REST = 8, 200, 4_000


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
        call: The call, whose head has just come.
        fields: Its header list as it came.
        call_id: What it is recorded as; empty if it is not to be kept.
        attempt: Its number among those of its call-id.
        place: Where this is.
        now: Gives nanoseconds since the epoch.
        grown: Told when it has come to occupy more, and by how many bytes.

    Attributes:
        size: How many bytes it occupies, about.
        change: How many changes there were,
        changed: set at every one.
    """

    __slots__ = (
        "_arrived_bytes",
        "_call",
        "_clock",
        "_compressed",
        "_conclusion",
        "_ended",
        "_facts",
        "_grown",
        "_half_closed",
        "_headers",
        "_messages",
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
        fields: Sequence[ReceivedField],
        call_id: str,
        attempt: int,
        place: Place,
        now: Callable[[], int],
        grown: "Callable[[Recording, int], None]",
    ) -> None:
        self.call_id = call_id
        self.attempt = attempt
        self._grown = grown
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
        self._headers = kept_headers((field[0], field[1]) for field in fields)
        self._facts = _facts(call, call_id, attempt, place)
        self.size = _OF_THE_REST + sum(_OF_A_HEADER + len(name) + len(value) for name, value in self._headers)
        call.messages = WatchedDecoder(call.messages, self._arrived)

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self._conclusion is not None

    async def ended(self) -> None:
        """Wait until the call has."""
        while not self.over:
            await self._ended.wait()

    def touch(self) -> None:
        """Something has changed."""
        self.change += 1
        self.changed.set()

    # From the call

    def _arrived(self, size: int, compressed: bool) -> None:
        if self._call is not None:
            self._messages += 1
            self._arrived_bytes += size
            self._compressed += compressed
            if len(self._times) < MOST_TIMES:
                self._times.append(self._time(self._call.session.last_received))
                self._grown(self, _OF_A_TIME)
            self.touch()

    def half_closed(self) -> None:
        """The client sends no more."""
        if self._call is not None:
            self._half_closed = self._time(self._call.session.last_received)
            self.touch()

    def stalled(self, seconds: float) -> None:
        """Sending has waited so long for the client to take more."""
        self._stalled += seconds
        self.touch()

    def end(self) -> None:
        """The call is over."""
        call = self._call
        if call is not None:
            now = call.session.backend.now()
            status, cause = call.outcome(now)
            self._out = _sent(call)
            self._conclusion = Conclusion(_outcome(call, status), status, cause, self._time(now))
            self._call = None
            self.touch()
            self._ended.set()

    # For those who ask

    def concluded(self, status: Status, message: str | None, messages_out: int) -> dict[str, object]:
        """What there will be to tell if the call ends now with this status, after so many messages sent."""
        call = self._call
        assert call is not None
        sent = call.unsent.taken + call.unsent.size - PREFIX_SIZE * messages_out  # Some may wait for the end.
        at = self._time(call.session.backend.now())
        out = (messages_out, sent, call.session.connection.pings)
        return self._told(out, Conclusion("completed", status, message, at), MOST_TIMES)

    def told(self, *, times: int = MOST_TIMES) -> dict[str, object]:
        """What there is to tell, by the names of ``Record``'s fields; what is absent is left out.

        Args:
            times: At most so many of the times at which messages arrived.
        """
        return self._told(self._out if self._call is None else _sent(self._call), self._conclusion, times)

    def _told(self, out: tuple[int, int, int], conclusion: Conclusion | None, times: int) -> dict[str, object]:
        told = self._facts | {
            "request_headers": [{"name": name, "value": value} for name, value in self._headers],
            "started": self._started,
            "messages_in": self._messages,
            "bytes_in": self._arrived_bytes,
            "message_times_in": self._times[:times].tolist(),
            "compressed_in": self._compressed,
            "window_stalled": self._stalled,
        }
        told["messages_out"], told["bytes_out"], told["pings_in"] = out
        if self._times:
            told["first_message"] = self._times[0]
        if self._half_closed is not None:
            told["half_closed"] = self._half_closed
        if conclusion is not None:
            told["ended"] = conclusion.at
            told["outcome"], told["status"] = conclusion.outcome, conclusion.status.name
            told["cause"] = (conclusion.cause or "")[:MOST_OF_CAUSE]
        return told

    def _time(self, clock: float) -> int:
        """A time on the event loop's clock in nanoseconds since the epoch."""
        return self._started + round((clock - self._clock) * 1e9)


def _facts(call: ServerCall, call_id: str, attempt: int, place: Place) -> dict[str, object]:
    """What does not change while a call runs."""
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
    """Messages sent, their bytes, and the PINGs that came."""
    return call.unsent.messages, call.sent_bytes, call.session.connection.pings


def _outcome(call: ServerCall, status: Status) -> Fate | str:
    """How a call ended, of which ``status`` is told."""
    fate = call.fate
    if call.broken_off:
        # A client may reset the call at the very moment at which its deadline passes.
        return "deadline" if status is Status.DEADLINE_EXCEEDED else fate or "reset"
    if call.sent_trailers is None:
        return "reset"
    if fate == "failed" or call.sent_trailers is call.verdict:
        return fate or "failed"
    return "completed"
