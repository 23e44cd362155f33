"""The table of all checks, in the order of the report."""

from collections.abc import Sequence
from typing import Final

from echo.probe.check import Check
from echo.probe.checks.backpressure import Backpressure
from echo.probe.checks.balancing import Balancing
from echo.probe.checks.bidirectional import Bidirectional
from echo.probe.checks.cancel import Cancel
from echo.probe.checks.compression import Compression
from echo.probe.checks.concurrency import Concurrency
from echo.probe.checks.connection_idle import ConnectionIdle
from echo.probe.checks.deadline import Deadline
from echo.probe.checks.drain import Drain
from echo.probe.checks.early_end import EarlyEnd
from echo.probe.checks.half_close import HalfClose
from echo.probe.checks.header_size import HeaderSize
from echo.probe.checks.http2 import Http2Check
from echo.probe.checks.http_status import HttpStatus
from echo.probe.checks.keepalive import Keepalive
from echo.probe.checks.message_size import MessageSize
from echo.probe.checks.metadata import Metadata
from echo.probe.checks.request_streaming import RequestStreaming
from echo.probe.checks.reset import Reset
from echo.probe.checks.response_streaming import ResponseStreaming
from echo.probe.checks.retries import Retries
from echo.probe.checks.status import Status
from echo.probe.checks.stream_duration import StreamDuration
from echo.probe.checks.stream_idle import StreamIdle
from echo.probe.checks.stream_size import StreamSize
from echo.probe.checks.trailers import Trailers
from echo.probe.checks.ws_cancel import WsCancel
from echo.probe.checks.ws_close import WsClose
from echo.probe.checks.ws_compression import WsCompression
from echo.probe.checks.ws_http2 import WsHttp2
from echo.probe.checks.ws_idle import WsIdle
from echo.probe.checks.ws_messages import WsMessages
from echo.probe.checks.ws_upgrade import WsUpgrade

CHECKS: Final[Sequence[Check]] = (
    Http2Check(),
    Trailers(),
    Status(),
    Metadata(),
    HeaderSize(),
    MessageSize(),
    StreamSize(),
    RequestStreaming(),
    ResponseStreaming(),
    Bidirectional(),
    HalfClose(),
    EarlyEnd(),
    Cancel(),
    Reset(),
    Deadline(),
    StreamIdle(),
    StreamDuration(),
    ConnectionIdle(),
    Keepalive(),
    Concurrency(),
    Balancing(),
    Retries(),
    Backpressure(),
    Compression(),
    Drain(),
    WsUpgrade(),
    WsHttp2(),
    WsMessages(),
    WsClose(),
    WsIdle(),
    WsCancel(),
    WsCompression(),
    HttpStatus(),
)


class UnknownCheckError(ValueError):
    """No check has that name; the text lists the names."""


def select(only: Sequence[str] = (), skip: Sequence[str] = ()) -> list[Check]:
    """The checks named in ``only`` (all if it is empty), without those in ``skip``.

    Raises:
        UnknownCheckError: No check has one of the names.
    """
    known = [check.name for check in CHECKS]
    for name in [*only, *skip]:
        if name not in known:
            raise UnknownCheckError(f"there is no check {name!r}; there are {', '.join(known)}")
    return [check for check in CHECKS if (not only or check.name in only) and check.name not in skip]
