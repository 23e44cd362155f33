"""The context of a trace is read as OpenTelemetry's own propagators read it, and written so that they can."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import MultiDict
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from echo.telemetry.tracing.columns import rows
from echo.telemetry.tracing.propagation import (
    AT_PARENT_ID,
    AT_TRACE_ID,
    LENGTH,
    PARENT_ROW,
    Parent,
    Propagation,
    read_together,
    split,
)
from echo.wire import Metadata
from tests.support.collector import NOT_SAMPLED, SAMPLED, SPAN, TRACE
from tests.support.received import received

W3C = Propagation({"tracecontext", "baggage"})
B3 = Propagation({"b3"})


def near_misses() -> st.SearchStrategy[str]:
    """What is nearly a traceparent, or one."""
    digits = st.text("0123456789abcdefABCDEF _-+", min_size=0, max_size=36)
    made = st.tuples(
        st.sampled_from(["00", "01", "cc", "ff", "0", "000"]),
        st.one_of(st.just(TRACE), st.text("0123456789abcdef", min_size=32, max_size=32), st.just("0" * 32), digits),
        st.one_of(st.just(SPAN), st.text("0123456789abcdef", min_size=16, max_size=16), st.just("0" * 16), digits),
        st.sampled_from(["00", "01", "02", "03", "ff", "0", "zz", "01-more", "01-"]),
    ).map("-".join)
    return st.one_of(made, st.text(string.printable, max_size=60))


@given(near_misses())
@example(SAMPLED)
@example(SAMPLED.upper())
@example(f"00-{TRACE[:-2]} {TRACE[-1]}-{SPAN}-01")
@example(f"01-{TRACE}-{SPAN}-01-what the future brings")
def test_a_traceparent_is_taken_for_what_opentelemetry_takes_it_for(text: str) -> None:
    carrier = {"traceparent": text}
    context = get_current_span(TraceContextTextMapPropagator().extract(carrier)).get_span_context()
    found = W3C.read(MultiDict(carrier))
    if text != text.strip() or not context.is_valid:  # OpenTelemetry's cuts blanks; no header has any left.
        assert found is None or text != text.strip()
    else:
        assert found == Parent(
            context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"), context.trace_flags.sampled
        )


@given(st.lists(near_misses().map(lambda text: text[:LENGTH].ljust(LENGTH, "0")), min_size=1, max_size=4))
@example([SAMPLED, NOT_SAMPLED])
@example([SAMPLED, f"00-{TRACE}-{SPAN}- 1"])
@example([f"00-{TRACE}-{SPAN}-0g"])
@example([f"00-{'0' * 16}{SPAN}-{SPAN}-01"])
@example([SAMPLED[:35] + "0" + SAMPLED[36:]])
@example([SAMPLED, SAMPLED.upper()])
@example([f"01{SAMPLED[2:]}"])
def test_several_are_read_together_as_each_is_by_itself_or_not_at_all(headers: list[str]) -> None:
    alone = [W3C.read(MultiDict({"traceparent": header})) for header in headers]
    together = read_together([header.encode() for header in headers])
    if together is not None:
        found = zip(rows(together.table, PARENT_ROW), together.sampled, strict=True)
        assert [Parent(row[AT_TRACE_ID:][:16], row[AT_PARENT_ID:][:8], one == 1) for row, one in found] == alone
    else:
        assert any(
            parent is None or header[:2] != "00" or bytes(8) in parent.trace_id + parent.span_id
            for header, parent in zip(headers, alone, strict=True)
        )


@pytest.mark.parametrize("sampled", [True, False])
def test_what_is_written_is_read_again(sampled: bool) -> None:
    span = Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), sampled, "vendor=1,other=2")
    for names in ({"tracecontext"}, {"b3"}, {"b3multi"}):
        metadata: Metadata = MultiDict({"traceparent": "from before", "b3": "too", "x-b3-parentspanid": "and this"})
        Propagation(names).write(span, metadata)
        state = "vendor=1,other=2" if names == {"tracecontext"} else None
        assert Propagation(names).read(metadata) == span._replace(state=state)
        assert "x-b3-parentspanid" not in metadata or names == {"tracecontext"}


@pytest.mark.parametrize(
    ("metadata", "parent"),
    [
        ({}, None),
        ({"traceparent": SAMPLED}, Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), True)),
        ({"traceparent": f"01{SAMPLED[2:]}-more"}, Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), True)),
        ({"traceparent": SAMPLED, "tracestate": "a=1"}, Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), True, "a=1")),
        ({"traceparent": SAMPLED, "tracestate": "\u00e9"}, Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), True)),
        ({"traceparent": "rubbish", "tracestate": "a=1"}, None),
        ({"traceparent": "x" * LENGTH}, None),
        ({"traceparent": "\u00ff" * LENGTH}, None),
    ],
)
def test_what_is_kept_of_a_request_names_the_same_parent(metadata: dict[str, str], parent: Parent | None) -> None:
    request = received("/s/m", metadata.items())
    assert split(W3C.parent_of(request)) == W3C.read(request.metadata) == parent


@pytest.mark.parametrize(
    ("fields", "parent"),
    [
        (
            [("traceparent", SAMPLED), ("tracestate", "a=1"), ("tracestate", "b=2")],
            Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), True, "a=1,b=2"),
        ),
        ([("traceparent", SAMPLED), ("traceparent", NOT_SAMPLED)], None),
    ],
    ids=["a tracestate in parts", "two parents"],
)
def test_repeated_headers_count_as_one_with_commas(fields: list[tuple[str, str]], parent: Parent | None) -> None:
    assert split(W3C.parent_of(received("/s/m", fields))) == parent


def test_what_is_kept_of_a_request_with_b3_is_a_traceparent() -> None:
    kept = B3.parent_of(received("/s/m", [("b3", f"{TRACE}-{SPAN}-1"), ("traceparent", "not read")]))
    assert kept.decode() == SAMPLED


def test_a_tracestate_of_another_trace_is_replaced_or_removed() -> None:
    for state in ("ours=1", None):
        metadata: Metadata = MultiDict([("tracestate", "theirs=1"), ("tracestate", "theirs=2")])
        W3C.write(Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), True, state), metadata)
        assert metadata.getall("tracestate", []) == ([state] if state else [])


def test_a_tracestate_that_cannot_be_sent_is_left_out() -> None:
    for state in ("", "a=\u00e9", f"a=1,{'b' * 600}\u00e9", "a=" + "b" * 600):
        found = W3C.read(MultiDict({"traceparent": SAMPLED, "tracestate": state}))
        assert found is not None
        assert found.state is None


def test_of_a_long_tracestate_the_first_members_are_kept_that_fit() -> None:
    members = [f"vendor{number}={'x' * 90}" for number in range(9)]
    metadata = [("traceparent", SAMPLED), *(("tracestate", member) for member in members)]
    found = split(W3C.parent_of(received("/s/m", metadata)))
    assert found is not None
    assert found.state == ",".join(members[:5])
    exactly = f"a={'x' * 510}"
    for more in ("", ",b=1"):
        found = W3C.read(MultiDict({"traceparent": SAMPLED, "tracestate": exactly + more}))
        assert found is not None
        assert found.state == exactly


@pytest.mark.parametrize(
    ("headers", "sampled"),
    [
        ({"b3": f"{TRACE}-{SPAN}-1"}, True),
        ({"b3": f"{TRACE}-{SPAN}-d-{SPAN}"}, True),
        ({"b3": f"{TRACE}-{SPAN}-0"}, False),
        ({"b3": f"{TRACE}-{SPAN}"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "True"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "d"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "0"}, False),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-flags": "1"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN}, False),
    ],
)
def test_b3_is_read_in_both_its_forms(headers: dict[str, str], sampled: bool) -> None:
    assert B3.read(MultiDict(headers)) == Parent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), sampled)
    assert W3C.read(MultiDict(headers)) is None


@pytest.mark.parametrize(
    "headers", [{"b3": "0"}, {"b3": "1"}, {"b3": f"{'0' * 32}-{SPAN}-1"}, {"x-b3-traceid": TRACE}, {"b3": ""}]
)
def test_what_names_no_span_is_no_parent(headers: dict[str, str]) -> None:
    assert B3.read(MultiDict(headers)) is None


def test_a_short_trace_id_of_b3_is_filled_up() -> None:
    found = B3.read(MultiDict({"b3": f"{SPAN}-{SPAN}-1"}))
    assert found is not None
    assert found.trace_id.hex() == "0" * 16 + SPAN
