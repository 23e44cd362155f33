"""Sampling by ratio: the bound is found by asking the SDK's sampler, and decides as it does."""

import random

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace import SpanKind

from echo.telemetry.tracing.propagation import Parent
from echo.telemetry.tracing.sampling import Sampling

SPAN_ID = bytes(7) + b"\1"


@pytest.mark.parametrize("name", ["traceidratio", "parentbased_traceidratio"])
@pytest.mark.parametrize("ratio", [0.0, 1e-9, 0.01, 0.3, 1.0])
def test_a_ratio_keeps_the_traces_that_the_sdk_keeps(name: str, ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", str(ratio))
    sampling, sdk = Sampling(name), TraceIdRatioBased(ratio)
    chance = random.Random(1)
    near = [number for number in (sdk.bound - 1, sdk.bound) if 0 <= number < 2**64]
    for trace in [chance.getrandbits(128) for _ in range(200)] + [chance.getrandbits(64) << 64 | low for low in near]:
        wanted = sdk.should_sample(None, trace, "").decision is Decision.RECORD_AND_SAMPLE
        trace_id = trace.to_bytes(16, "big")
        assert sampling.wants(None, trace_id, "a", SpanKind.SERVER) == wanted
        for sampled in (True, False):
            parent = Parent(trace_id, SPAN_ID, sampled)
            follows = name.startswith("parentbased")
            assert sampling.wants(parent, trace_id, "a", SpanKind.SERVER) == (sampled if follows else wanted)
