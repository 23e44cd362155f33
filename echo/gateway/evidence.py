"""What the gateway saw of requests and WebSockets that asked to be recorded, by a ``call-id``.

The names are those of the server's own records (``proto/evidence.proto``), so that the two can be laid side by side.
Kept are the last ones, within a number and within bytes; who is recorded costs nothing beyond that.
"""

import time
from collections import OrderedDict
from dataclasses import asdict
from typing import Final

from hypercorn.typing import HTTPScope, WebsocketScope

from echo.evidence import INSTANCE, Place, kept_headers
from echo.gateway.access import SocketNotes, address_text

__all__ = ["GatewayRecord", "GatewayRecorder", "protocol_of"]

MOST_RECORDS: Final = 10_000
MOST_BYTES: Final = 64 * 2**20
MOST_ATTEMPTS: Final = 64  # Of one call-id.

_OF_A_HEADER, _OF_THE_REST = 200, 1_500  # Bytes that one takes besides its text, and a record besides its headers.


class GatewayRecord:
    """One attempt.

    Attributes:
        size: Bytes that it occupies, about.
    """

    __slots__ = ("_attempt", "_call_id", "_end", "_facts", "_headers", "_notes", "_started", "size")

    def __init__(self, scope: HTTPScope | WebsocketScope, call_id: str, attempt: int, place: Place) -> None:
        self._call_id = call_id
        self._attempt = attempt
        self._started = time.time_ns()
        self._headers = kept_headers(scope["headers"])
        self._notes: SocketNotes | None = None
        self._end: dict[str, object] = {"outcome": ""}
        self._facts = {
            "service": "gateway",
            "method": scope["raw_path"].decode("latin-1"),
            **asdict(place),
            "instance": INSTANCE,
            "protocol": protocol_of(scope),
            "peer": address_text(scope["client"]) or "",
            "local": address_text(scope["server"]) or "",
        }
        self.size = _OF_THE_REST + sum(_OF_A_HEADER + len(name) + len(value) for name, value in self._headers)

    def count_by(self, notes: SocketNotes) -> None:
        """Messages and bytes are those of this WebSocket."""
        self._notes = notes

    def end(self, outcome: str, status: str, cause: str = "") -> None:
        """It is over."""
        counts = self._counts()
        self._notes = None
        self._end = {**counts, "ended": time.time_ns(), "outcome": outcome, "status": status, "cause": cause[:1_024]}

    def _counts(self) -> dict[str, object]:
        notes = self._notes
        if notes is None:
            return {}
        names = ("messages_in", "bytes_in", "messages_out", "bytes_out")
        return {name: getattr(notes, name) for name in names}

    def as_json(self) -> dict[str, object]:
        """It as what `json` and the like take; what has not happened is left out."""
        return {
            "call_id": self._call_id,
            "attempt": self._attempt,
            **self._facts,
            "request_headers": [{"name": name, "value": value} for name, value in self._headers],
            "started": self._started,
            **self._counts(),
            **self._end,
        }


class GatewayRecorder:
    """Keeps records."""

    def __init__(self, place: Place | None = None) -> None:
        self._place = Place.from_environment() if place is None else place
        self._kept: OrderedDict[tuple[str, int], GatewayRecord] = OrderedDict()
        self._numbers: dict[str, tuple[int, int]] = {}  # Of each call-id, the first attempt that is kept and the last.
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, scope: HTTPScope | WebsocketScope, call_id: str) -> GatewayRecord:
        """Record a request whose call-id has been checked."""
        first, last = self._numbers.get(call_id, (1, 0))
        record = GatewayRecord(scope, call_id, last + 1, self._place)
        self._kept[call_id, last + 1] = record
        self._numbers[call_id] = first, last + 1
        self._size += record.size
        if last + 1 - first >= MOST_ATTEMPTS:
            self._drop(call_id, first)
        while len(self._kept) > MOST_RECORDS or (self._size > MOST_BYTES and len(self._kept) > 1):
            self._drop(*next(iter(self._kept)))
        return record

    def _drop(self, call_id: str, attempt: int) -> None:
        self._size -= self._kept.pop((call_id, attempt)).size
        first, last = self._numbers.pop(call_id)  # The oldest of all is the oldest of its own.
        if first < last:
            self._numbers[call_id] = first + 1, last

    def attempts(self, call_id: str) -> list[GatewayRecord]:
        """The attempts that are kept, oldest first."""
        if call_id not in self._numbers:
            return []
        first, last = self._numbers[call_id]
        return [self._kept[call_id, number] for number in range(first, last + 1)]


def protocol_of(scope: HTTPScope | WebsocketScope) -> str:
    """Such as ``HTTP/1.1``."""
    return f"HTTP/{scope['http_version']}"
