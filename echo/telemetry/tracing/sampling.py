"""Which traces are recorded: what ``OTEL_TRACES_SAMPLER`` and its ``_ARG`` say, decided as a trace begins.

The SDK makes the sampler, and is asked wherever there is something to compute. Six of its samplers, those that
OpenTelemetry's specification names, need no asking in most cases, which saves a microsecond or more of every call.
"""

from typing import Final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from echo.telemetry.tracing.propagation import Parent

__all__ = ["Sampling"]

# What each decides about a trace that begins here; None where it is to be asked.
_ROOTS: Final[dict[str, bool | None]] = {
    "": True,
    "always_on": True,
    "always_off": False,
    "traceidratio": None,
    "parentbased_always_on": True,
    "parentbased_always_off": False,
    "parentbased_traceidratio": None,
}


class Sampling:
    """The sampler.

    Args:
        name: Its name, in lower case; empty for the default.

    Attributes:
        follows_parent: A span is recorded if what it is part of is.
        root: Whether a trace that begins here is recorded; None where that has to be asked.
    """

    def __init__(self, name: str) -> None:
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler  # As the environment says.
        known = name in _ROOTS
        self.follows_parent = known and (not name or name.startswith("parentbased"))
        self.root: Final = _ROOTS.get(name)

    def wants(self, parent: Parent | None, trace_id: bytes, name: str, kind: SpanKind) -> bool:
        """Whether a span is to be recorded.

        Args:
            parent: What called; None where the trace begins.
            trace_id: The trace's.
            name: The span's.
            kind: Which side of a call it is.
        """
        if parent is not None and self.follows_parent:
            return parent.sampled
        if self.root is not None:
            return self.root
        trace, context = int.from_bytes(trace_id, "big"), None
        if parent is not None:
            span = int.from_bytes(parent.span_id, "big")
            asked = SpanContext(trace, span, parent.remote, TraceFlags(parent.sampled))
            context = set_span_in_context(NonRecordingSpan(asked))
        decision = self._sampler.should_sample(context, trace, name, kind).decision
        return decision is Decision.RECORD_AND_SAMPLE
