"""Spans that are over, as they wait to be encoded, and how they are.

Most calls end alike: with OK, and nothing else to tell. Of such a call no more is kept than its ids and its times; what
it has in common with others is made once and found again. Spans are encoded several at a time: when the code for
that is warm, one takes half a microsecond.
"""

from collections.abc import Sequence
from functools import lru_cache
from time import time_ns
from typing import Final, Protocol, TypeAlias

import anyio

from echo.telemetry.tracing.propagation import Parent, read_together
from echo.telemetry.tracing.protobuf import HEAD_OF_CHILD, HEAD_OF_ROOT, flags, head, in_group, length, tracestate

__all__ = ["Ended", "Told", "Where", "encode", "wall", "whole"]

Where: TypeAlias = tuple[str, int] | str | None


class Told(Protocol):
    """What calls have in common: how they tell of themselves."""

    def told(self, received: int, sent: int, where: Where) -> bytes:
        """What the span of such a call says, but for its ids and times.

        Args:
            received: Messages received,
            sent: and sent.
            where: Who is at the other end.
        """

    def __hash__(self) -> int: ...


Ended: TypeAlias = bytes | tuple[Told, int, int, Where, Parent | str | None, bytes, bytes, float, float]
"""A span that is over: encoded, or what `Told.told` is by and takes, then what `whole` takes, by the loop's clock.

In place of a parent there may be a ``traceparent`` that is `likely` and was not read. Then the trace's id counts only
if that is not sound after all, and the trace began here.
"""

_LOCAL: Final = flags(remote_parent=False)
_REMOTE: Final = flags(remote_parent=True)


def encode(spans: Sequence[Ended]) -> bytes:
    """These spans as a group; see `echo.telemetry.tracing.protobuf.in_group`."""
    pieces: list[bytes] = []
    headers = [span[4] for span in spans if isinstance(span[4], str)]  # (A number, of a span that is encoded.)
    read = iter(read_together(headers) if headers else ())
    zero = wall(0.0)
    for span in spans:
        if isinstance(span, bytes):
            pieces.append(in_group(span))
            continue
        kind, received, sent, where, parent, trace_id, span_id, began, ended = span
        start, end = zero + int(began * 1e9), zero + int(ended * 1e9)
        if parent is not None:
            if isinstance(parent, str):
                ids = next(read)
            elif parent.remote and parent.state is None:
                ids = parent[:2]
            else:
                told = kind.told(received, sent, where)
                pieces.append(in_group(whole(parent, trace_id, span_id, start, end, told)))
                continue
            if ids is not None:
                before, told = _of_child(kind, received, sent, where)
                pieces += (before, head(ids[0], span_id, ids[1], start, end), told)
                continue
        before, told = _of_root(kind, received, sent, where)
        pieces += (before, head(trace_id, span_id, None, start, end), told)
    return b"".join(pieces)


def wall(at: float) -> int:
    """A time on the event loop's clock in nanoseconds since 1970. It is never too late, by whatever interrupts this."""
    return time_ns() - int((anyio.current_time() - at) * 1e9)


def whole(parent: Parent | None, trace_id: bytes, span_id: bytes, start: int, end: int, told: bytes) -> bytes:
    """A span.

    Args:
        parent: What it is part of; None if the trace begins with it.
        trace_id: Of sixteen bytes,
        span_id: and of eight.
        start: In nanoseconds since 1970,
        end: and so.
        told: Its name, its kind, what it tells of itself and, if it failed, its status.
    """
    if parent is None:
        return head(trace_id, span_id, None, start, end) + told + _LOCAL
    span = head(trace_id, span_id, parent.span_id, start, end) + told + (_REMOTE if parent.remote else _LOCAL)
    return span if parent.state is None else span + tracestate(parent.state)


# A server has one or two sets of these for each client.
@lru_cache(4096)
def _of_root(kind: Told, received: int, sent: int, where: Where) -> tuple[bytes, bytes]:
    told = kind.told(received, sent, where) + _LOCAL
    return length(HEAD_OF_ROOT + len(told)), told


@lru_cache(4096)
def _of_child(kind: Told, received: int, sent: int, where: Where) -> tuple[bytes, bytes]:
    told = kind.told(received, sent, where) + _REMOTE
    return length(HEAD_OF_CHILD + len(told)), told
