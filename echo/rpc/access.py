"""The access log of a server's calls."""

from collections.abc import Collection

from echo.access_log import AccessLog, Entry, trace_id
from echo.transport import ServerCall
from echo.wire import Metadata


class AccessNotes:
    """Writes a line for each call that has ended; an instance is one of a server's notes."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log

    def note(self, calls: Collection[ServerCall], now: float) -> None:
        """Write the calls' lines, all of them together."""
        for call in calls:
            request, session = call.request, call.session
            metadata = request.metadata
            status, reason = call.outcome(now)
            traced = session.trace_of(call)
            trace, span = (trace_id(_text(metadata, "traceparent")), None) if traced is None else traced.ids
            self._log.write(
                Entry(
                    "grpc",
                    str(session.peer),
                    _text(metadata, "x-forwarded-for"),
                    request.path,
                    None,
                    status.name,
                    reason,
                    now - call.started,
                    call.messages.messages,
                    call.unsent.messages,
                    call.received_bytes,
                    call.sent_bytes,
                    _text(metadata, "x-request-id"),
                    trace,
                    span,
                ),
                hold=True,
            )
        self._log.flush()


def _text(metadata: Metadata, name: str) -> str | None:
    value = metadata.get(name)
    return value if isinstance(value, str) else None
