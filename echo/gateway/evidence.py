"""Records what the gateway saw of requests and WebSockets with a ``call-id``.

The field names are those of the server's records (``proto/evidence.proto``), so that both can be compared. The latest
records are kept, within a number and a size in bytes.
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
MOST_ATTEMPTS: Final = 64  # For one call-id.

_HEADER_OVERHEAD, _RECORD_OVERHEAD = 200, 1_500  # Bytes of a header besides its text, of a record besides its headers.


class GatewayRecord:
    """One attempt.

    Attributes:
        size: The approximate size in bytes.
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
        self.size = _RECORD_OVERHEAD + sum(_HEADER_OVERHEAD + len(name) + len(value) for name, value in self._headers)

    def count_by(self, notes: SocketNotes) -> None:
        """Take the numbers of messages and bytes from this WebSocket's notes."""
        self._notes = notes

    def end(self, outcome: str, status: str, cause: str = "") -> None:
        """Record how it ended."""
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
        """The record as a JSON object; absent fields are left out."""
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
    """Keeps the latest records."""

    def __init__(self, place: Place | None = None) -> None:
        self._place = Place.from_environment() if place is None else place
        self._kept: OrderedDict[tuple[str, int], GatewayRecord] = OrderedDict()
        self._numbers: dict[str, tuple[int, int]] = {}  # The first and last attempt kept for each call-id.
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, scope: HTTPScope | WebsocketScope, call_id: str) -> GatewayRecord:
        """Record a request with a valid call-id."""
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
        first, last = self._numbers.pop(call_id)  # The oldest record is also the oldest of its call-id.
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
