"""Decides which traces are recorded, as ``OTEL_TRACES_SAMPLER`` and ``OTEL_TRACES_SAMPLER_ARG`` say.

The SDK creates the sampler. Those that OpenTelemetry's specification names are known by a bound and need not be asked
about each call, which saves a microsecond or more; any other is asked.
"""

from typing import Final

from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from echo.telemetry.tracing.propagation import Parent

__all__ = ["Sampling"]

ALL: Final = 2**64
_RATIO: Final = -1

# Each sampler's bound for traces that begin here; `_RATIO` if it depends on the environment.
_BOUNDS: Final = {
    "": ALL,
    "always_on": ALL,
    "always_off": 0,
    "traceidratio": _RATIO,
    "parentbased_always_on": ALL,
    "parentbased_always_off": 0,
    "parentbased_traceidratio": _RATIO,
}


_NO_PARENT: Final = Context()  # Without a context, samplers take the current span for the parent.


class Sampling:
    """The sampler.

    Args:
        name: Its name, in lower case; empty for the default.

    Attributes:
        follows_parent: A span is recorded if its parent is.
        bound: Other traces are recorded if the last eight bytes of their ids are a number below this; None if the
            sampler must be asked.
    """

    def __init__(self, name: str) -> None:
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler  # As the environment says.
        known = name in _BOUNDS
        self.follows_parent = known and (not name or name.startswith("parentbased"))
        bound = _BOUNDS.get(name)
        self.bound: Final = self._find_bound() if bound == _RATIO else bound

    def wants(self, parent: Parent | None, trace_id: bytes, name: str, kind: SpanKind) -> bool:
        """Whether a span is to be recorded.

        Args:
            parent: The parent span; None if the trace begins here.
            trace_id: The trace's id.
            name: The span's name.
            kind: The span's kind.
        """
        if parent is not None and self.follows_parent:
            return parent.sampled
        if self.bound is not None:
            return int.from_bytes(trace_id[8:], "big") < self.bound
        trace, context = int.from_bytes(trace_id, "big"), _NO_PARENT
        if parent is not None:
            span = int.from_bytes(parent.span_id, "big")
            asked = SpanContext(trace, span, parent.remote, TraceFlags(parent.sampled))
            context = set_span_in_context(NonRecordingSpan(asked), context)
        token = attach(context)  # A sampler may ask for the current span, which may be the one to decide about.
        try:
            decision = self._sampler.should_sample(context, trace, name, kind).decision
        finally:
            detach(token)
        return decision is Decision.RECORD_AND_SAMPLE

    def _find_bound(self) -> int:
        """The bound of a sampler by ratio, found by asking it: the SDK does not tell that of a parent-based one."""
        low, high = 0, ALL
        while low < high:
            middle = (low + high) // 2
            decision = self._sampler.should_sample(_NO_PARENT, middle, "").decision
            low, high = (middle + 1, high) if decision is Decision.RECORD_AND_SAMPLE else (low, middle)
        return low
