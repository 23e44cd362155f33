"""The access log: one line for each gRPC call, HTTP request and WebSocket, written when it ends.

The lines have the same format as the main log, JSON or text, with the logger ``echo.access``. They are formatted here,
in a few microseconds, without structlog and logging, since every call pays for one. Text from peers is escaped and cut,
so that it cannot forge a line, control a terminal, or make a line longer than `echo.outlet.ATOMIC`. Lines that nobody
reads are dropped; a later line reports how many (see `echo.outlet`).
"""

import time
from typing import Final, Literal

import msgspec

from echo.outlet import ATOMIC, Outlet
from echo.printable import printable

__all__ = ["AccessLog", "Entry", "trace_id"]

LOGGER: Final = "echo.access"
EVENTS: Final = {"grpc": "call", "http": "request", "websocket": "websocket"}
DROPPED: Final = "log lines were dropped"
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
PLAIN: Final = 600  # A line of printable ASCII up to this many bytes needs no cutting.
BACKSLASH: Final = 0x5C  # Integers, which are found in bytes in a fifth of the time that bytes take.
DELETE: Final = 0x7F
_UNQUOTED: Final = frozenset(' "=')


class Entry(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of a line, in this order; fields that are None are left out.

    Attributes:
        kind: What the line is about.
        peer: The address of the other end of the connection.
        forwarded_for: The request's ``x-forwarded-for``.
        method: ``/package.Service/Method``, or the HTTP method.
        path: The path of an HTTP request or WebSocket.
        status: The name of the gRPC status, the HTTP status, or the WebSocket's close code.
        reason: A readable reason for the status.
        seconds: From the request's arrival to its end.
        messages_in: Messages received.
        messages_out: Messages sent.
        bytes_in: Bytes of the messages received, as sent on the wire, without framing.
        bytes_out: The same for messages sent.
        request_id: ``x-request-id``.
        trace_id: The trace id, from ``traceparent`` or created here.
        span_id: The span id, if traces are recorded.
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
        outlet: Where lines are written. Use it for the main log too, or a full pipe could block that.
        as_json: Write JSON lines, else text.
    """

    def __init__(self, outlet: Outlet, *, as_json: bool) -> None:
        self._outlet = outlet
        self._as_json = as_json
        self._encode = msgspec.json.Encoder().encode
        self._held = b""
        self._held_lines = 0
        self._reported = 0  # How many of the dropped lines have been reported.
        self._second = -1
        self._date = ""

    @property
    def dropped(self) -> int:
        """How many lines were lost."""
        return self._outlet.dropped

    def write(self, entry: Entry, *, hold: bool = False) -> None:
        """Write the entry; its texts may be anything, and unsafe ones are escaped in place. Raises nothing.

        Args:
            entry: The entry.
            hold: The caller will call `flush` before the event loop waits again, so the line may be held until then.
        """
        if entry.seconds is not None:
            entry.seconds = round(entry.seconds, 6)
        now = self._now()
        event = EVENTS[entry.kind]
        if self._as_json:
            head = f'{{"timestamp":"{now}","level":"info","logger":"{LOGGER}","event":"{event}",'
            line = head.encode() + self._json(entry)[1:] + b"\n"
        else:
            _make_printable(entry)
            line = f"{now} [info     ] {event:30} [{LOGGER}] {_fields(entry)}\n".encode()
        if self._held and len(self._held) + len(line) > ATOMIC:
            self.flush()
        self._held += line
        self._held_lines += 1
        if not hold:
            self.flush()

    def flush(self) -> None:
        """Write the held lines."""
        if self._held:
            lines, self._held = self._held, b""
            count, self._held_lines = self._held_lines, 0
            if self._outlet.write_line(lines, count) and self._outlet.dropped > self._reported:
                self._report_dropped(self._now())

    def _json(self, entry: Entry) -> bytes:
        """Encode the entry as a JSON object. Most are short and plain, so one check of the whole is enough."""
        try:
            encoded = self._encode(entry)
            if len(encoded) <= PLAIN and encoded.isascii() and BACKSLASH not in encoded and DELETE not in encoded:
                return encoded
        except UnicodeEncodeError:  # A lone surrogate.
            pass
        _make_printable(entry)
        return self._encode(entry)

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._date}.{int((now - second) * 1e6):06d}Z"

    def _report_dropped(self, now: str) -> None:
        """Write how many lines were dropped, now that there is room again."""
        dropped = self._outlet.dropped
        missing = dropped - self._reported
        if self._as_json:
            head = f'{{"timestamp":"{now}","level":"warning","logger":"{LOGGER}","event":"{DROPPED}"'
            line = f'{head},"lines":{missing}}}\n'
        else:
            line = f"{now} [warning  ] {DROPPED:30} [{LOGGER}] lines={missing}\n"
        if self._outlet.write_line(line.encode()):
            self._reported = dropped


def _make_printable(entry: Entry) -> None:
    """Make the texts printable, and cut them so that even the longest line is written atomically."""
    for name, limit in LIMITS.items():
        text = getattr(entry, name)
        if text is not None:
            setattr(entry, name, printable(text, limit))


def trace_id(traceparent: str | None) -> str | None:
    """The trace id in a ``traceparent`` (W3C Trace Context §3.2); None if it is missing or malformed."""
    if traceparent is None or len(traceparent) < 55 or traceparent[2] != "-" or traceparent[35] != "-":
        return None
    return traceparent[3:35]


def _fields(entry: Entry) -> str:
    fields = ((name, getattr(entry, name)) for name in entry.__struct_fields__)
    return " ".join(f"{name}={_quoted(value)}" for name, value in fields if value is not None)


def _quoted(value: object) -> str:
    text = str(value)
    if _UNQUOTED.isdisjoint(text) and text:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
