"""Begins spans, and takes those that have ended. Calls served, calls made and requests share one recorder."""

import random
import struct
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Final

from opentelemetry.trace import SpanKind

from echo.telemetry.tracing.batches import Batches
from echo.telemetry.tracing.propagation import Parent, Propagation
from echo.telemetry.tracing.sampling import Sampling
from echo.telemetry.tracing.span import SPAN_ID, Span
from echo.telemetry.tracing.spans import Ended

__all__ = ["Recorder"]

AT_ONCE: Final = 128  # Seeds that are drawn together.
SEED: Final = 16  # Bytes.


def _seeds() -> Iterator[bytes]:
    """Random bytes for ids, which are no secrets. All are zero, which is not an id, once in 2**64 times."""
    split = struct.Struct(f"{SEED}s" * AT_ONCE).unpack
    return chain.from_iterable(split(random.randbytes(SEED * AT_ONCE)) for _ in repeat(None))  # noqa: S311


class Recorder:
    """Begins spans, and takes those that have ended.

    Attributes:
        batches: The queue of spans that have ended.
        propagation: How the context of a trace travels.
        wants: Whether the sampler wants a span.
        seeds: An endless iterator of `Span.seed`.
        bound: Spans with parents are recorded if their parents are, others if the last eight bytes of their trace ids
            are below this; None if the sampler must be asked.
    """

    def __init__(self, batches: Batches[Ended], sampling: Sampling, propagation: Propagation) -> None:
        self.batches = batches
        self.propagation = propagation
        self.wants = sampling.wants
        self.bound = sampling.bound if sampling.follows_parent else None
        # Python seeds its generator anew in a child process; so each has a recorder of its own.
        self.seeds = _seeds()
        self._take = batches.put

    def begin(
        self, span: Span, parent: Parent | None, name: str, kind: SpanKind, start: float, seed: bytes | None = None
    ) -> None:
        """Begin a span. If neither it nor its parent is recorded, it has its parent's ids.

        Args:
            span: A new span.
            parent: Its parent; None if a trace begins with it.
            name: Its name, for the sampler.
            kind: Its kind.
            start: When it began, on the event loop's clock.
            seed: Its seed, if it has been drawn.
        """
        span.take = self._take
        span.parent = parent
        span.more = None
        span.start = start
        span.seed = seed = next(self.seeds) if seed is None else seed
        span.trace_id = trace_id = seed if parent is None else parent.trace_id
        span.recorded = self.wants(parent, trace_id, name, kind)
        span.span_id = seed[SPAN_ID] if parent is None or parent.sampled or span.recorded else parent.span_id
