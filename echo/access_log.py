"""The access log: one line for each gRPC call, HTTP request and WebSocket, when it is over.

The lines have the form of the other log's, JSON or text for people, with the logger ``echo.access``. But they are made
here, in a few microseconds, past structlog and logging, since every call pays for one. What peers have sent is made
printable and cut, so that no line is forged or longer than `echo.outlet.ATOMIC`, and none does anything to a terminal.
Lines that nobody reads are dropped, and counted in a line of their own once somebody does again; see `echo.outlet`.
"""

import time
from typing import Final, Literal

import msgspec

from echo.outlet import ATOMIC, Outlet
from echo.printable import printable

__all__ = ["AccessLog", "Entry", "trace_id"]

LOGGER: Final = "echo.access"
EVENTS: Final = {"grpc": "call", "http": "request", "websocket": "websocket"}
DROPPED: Final = "lines of the log were dropped"
LIMITS: Final = {
    "peer": 64,
    "forwarded_for": 128,
    "method": 128,
    "path": 200,
    "reason": 160,
    "request_id": 100,
    "trace_id": 32,
    "span_id": 16,
}
PLAIN: Final = 600  # Bytes within which a line of plain letters is short enough as it is.
_UNQUOTED: Final = frozenset(' "=')


class Entry(msgspec.Struct, omit_defaults=True, gc=False):
    """What a line says, in this order; what is None is left out.

    Attributes:
        kind: What it was.
        peer: Who called: the other end of the connection,
        forwarded_for: and for whom, by ``x-forwarded-for``.
        method: ``/package.Service/Method``, or HTTP's method.
        path: Of HTTP and WebSockets.
        status: The name of the gRPC status, the HTTP status, or the WebSocket's close code.
        reason: Why it ended so, in words.
        seconds: From the request's arrival until it was over.
        messages_in: Messages received,
        messages_out: and sent,
        bytes_in: and the bytes in those, as they travelled, without framing.
        bytes_out: Likewise.
        request_id: ``x-request-id``.
        trace_id: The trace's, from ``traceparent`` or begun here.
        span_id: In it, if traces are recorded.
    """

    kind: Literal["grpc", "http", "websocket"]
    peer: str | None = None
    forwarded_for: str | None = None
    method: str | None = None
    path: str | None = None
    status: str | int | None = None
    reason: str | None = None
    seconds: float | None = None
    messages_in: int | None = None
    messages_out: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    request_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None


class AccessLog:
    """Writes entries.

    Args:
        outlet: Where to; the other log should go there as well, lest a full pipe stop that one.
        as_json: A line of JSON for each, else text.
    """

    def __init__(self, outlet: Outlet, *, as_json: bool) -> None:
        self._outlet = outlet
        self._as_json = as_json
        self._encode = msgspec.json.Encoder().encode
        self._held = b""
        self._lines = 0  # In it.
        self._told = 0  # How many of the dropped lines have been told of.
        self._second = -1
        self._date = ""

    @property
    def dropped(self) -> int:
        """How many lines were lost."""
        return self._outlet.dropped

    def write(self, entry: Entry, *, hold: bool = False) -> None:
        """Write the entry, whose texts may be anything; changes those that are not fit to be shown. Raises nothing.

        Args:
            entry: What to say.
            hold: `flush` is called before the event loop waits again; the line may leave with others until then.
        """
        if entry.seconds is not None:
            entry.seconds = round(entry.seconds, 6)
        now = self._now()
        event = EVENTS[entry.kind]
        if self._as_json:
            head = f'{{"timestamp":"{now}","level":"info","logger":"{LOGGER}","event":"{event}",'
            line = head.encode() + self._json(entry)[1:] + b"\n"
        else:
            _tidy(entry)
            line = f"{now} [info     ] {event:30} [{LOGGER}] {_fields(entry)}\n".encode()
        if self._held and len(self._held) + len(line) > ATOMIC:
            self.flush()
        self._held += line
        self._lines += 1
        if not hold:
            self.flush()

    def flush(self) -> None:
        """Write the lines that were held."""
        if self._held:
            lines, self._held = self._held, b""
            count, self._lines = self._lines, 0
            if self._outlet.write_line(lines, count) and self._outlet.dropped > self._told:
                self._tell_dropped(self._now())

    def _json(self, entry: Entry) -> bytes:
        """The entry as an object. Most are short and plain, as one look at the whole shows."""
        try:
            encoded = self._encode(entry)
            if len(encoded) <= PLAIN and encoded.isascii() and b"\\" not in encoded and b"\x7f" not in encoded:
                return encoded
        except UnicodeEncodeError:  # A lone surrogate.
            pass
        _tidy(entry)
        return self._encode(entry)

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._date}.{int((now - second) * 1e6):06d}Z"

    def _tell_dropped(self, now: str) -> None:
        """There is room again: say how many lines are missing."""
        dropped = self._outlet.dropped
        missing = dropped - self._told
        if self._as_json:
            head = f'{{"timestamp":"{now}","level":"warning","logger":"{LOGGER}","event":"{DROPPED}"'
            line = f'{head},"lines":{missing}}}\n'
        else:
            line = f"{now} [warning  ] {DROPPED:30} [{LOGGER}] lines={missing}\n"
        if self._outlet.write_line(line.encode()):
            self._told = dropped


def _tidy(entry: Entry) -> None:
    """Make the texts printable, and cut them so that a line with all at their longest still is an atomic write."""
    for name, limit in LIMITS.items():
        text = getattr(entry, name)
        if text is not None:
            setattr(entry, name, printable(text, limit))


def trace_id(traceparent: str | None) -> str | None:
    """The trace's id in a ``traceparent`` (W3C Trace Context §3.2); None without, and for what is none."""
    if traceparent is None or len(traceparent) < 55 or traceparent[2] != "-" or traceparent[35] != "-":
        return None
    return traceparent[3:35]


def _fields(entry: Entry) -> str:
    told = ((name, getattr(entry, name)) for name in entry.__struct_fields__)
    return " ".join(f"{name}={_quoted(value)}" for name, value in told if value is not None)


def _quoted(value: object) -> str:
    text = str(value)
    if _UNQUOTED.isdisjoint(text) and text:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
