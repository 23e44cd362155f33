"""Encodes spans that have ended: those of calls that are made, and those that something happened in.

Most calls end alike: with OK, and nothing else to tell. Of such a call only ids and times are kept, and what its span
has in common with others is encoded once. `together` does the same for calls that are served, faster.
"""

from collections.abc import Sequence
from functools import lru_cache
from time import time_ns
from typing import Final, Protocol, TypeAlias

import anyio

from echo.telemetry.tracing.propagation import Parent
from echo.telemetry.tracing.protobuf import CHILD_HEAD, ROOT_HEAD, flags, head, in_group, length, tracestate

__all__ = ["Ended", "Told", "Where", "common_to_children", "common_to_roots", "encode", "wall", "whole"]

Where: TypeAlias = tuple[str, int] | str | None


class Told(Protocol):
    """What calls have in common."""

    def told(self, received: int, sent: int, where: Where) -> bytes:
        """The name, kind and attributes of the span of a call that ended with OK.

        Args:
            received: How many messages were received.
            sent: How many messages were sent.
            where: The address of the other end.
        """

    def __hash__(self) -> int: ...


Ended: TypeAlias = bytes | tuple[Told, int, int, Where, Parent | None, bytes, bytes, float, float]
"""A span that has ended: encoded; or a `Told`, its arguments, and those of `whole`, with times on the loop's clock."""

_LOCAL: Final = flags(remote_parent=False)
_REMOTE: Final = flags(remote_parent=True)


def encode(spans: Sequence[Ended]) -> bytes:
    """These spans as a group; see `echo.telemetry.tracing.protobuf.in_group`."""
    pieces: list[bytes] = []
    zero = wall(0.0)
    for span in spans:
        if isinstance(span, bytes):
            pieces.append(in_group(span))
            continue
        kind, received, sent, where, parent, trace_id, span_id, began, ended = span
        start, end = zero + int(began * 1e9), zero + int(ended * 1e9)
        if parent is None:
            before, told = common_to_roots(kind, received, sent, where)
            pieces += (before, head(trace_id, span_id, None, start, end), told)
        elif parent.remote and parent.state is None:
            before, told = common_to_children(kind, received, sent, where)
            pieces += (before, head(trace_id, span_id, parent.span_id, start, end), told)
        else:
            told = kind.told(received, sent, where)
            pieces.append(in_group(whole(parent, trace_id, span_id, start, end, told)))
    return b"".join(pieces)


def wall(at: float) -> int:
    """A time on the event loop's clock in nanoseconds since 1970. It is never too late, by whatever interrupts this."""
    return time_ns() - int((anyio.current_time() - at) * 1e9)


def whole(parent: Parent | None, trace_id: bytes, span_id: bytes, start: int, end: int, told: bytes) -> bytes:
    """An encoded span.

    Args:
        parent: Its parent; None if the trace begins with it.
        trace_id: The trace's id, 16 bytes.
        span_id: The span's id, 8 bytes.
        start: When it began, in nanoseconds since 1970.
        end: When it ended, likewise.
        told: Its encoded name, kind and attributes, and its status if it failed.
    """
    if parent is None:
        return head(trace_id, span_id, None, start, end) + told + _LOCAL
    span = head(trace_id, span_id, parent.span_id, start, end) + told + (_REMOTE if parent.remote else _LOCAL)
    return span if parent.state is None else span + tracestate(parent.state)


# A server has one or two of these for each client.
@lru_cache(4096)
def common_to_roots(kind: Told, received: int, sent: int, where: Where) -> tuple[bytes, bytes]:
    """What precedes and follows the heads of such spans in a group, if they have no parents."""
    told = kind.told(received, sent, where) + _LOCAL
    return length(ROOT_HEAD + len(told)), told


@lru_cache(4096)
def common_to_children(kind: Told, received: int, sent: int, where: Where) -> tuple[bytes, bytes]:
    """The same for spans whose parents belong to other processes."""
    told = kind.told(received, sent, where) + _REMOTE
    return length(CHILD_HEAD + len(told)), told
